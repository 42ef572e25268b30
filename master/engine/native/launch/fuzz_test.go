//go:build linux

package launch

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// full has every part.
var full = Spec{
	Keeper: 7, Program: "/p", Args: []string{"p", ""}, Env: []string{"A=b"}, Listen: []string{"x"},
	UID: 70000, GID: 70001, Groups: []int{1, 2},
	Capabilities: []string{"CAP_NET_BIND_SERVICE"}, Privileged: true,
	ReadOnly: []string{"/r"}, Binds: []Bind{{Source: "/s", Target: "/t", ReadOnly: true}}, Hidden: []string{"/h"},
	PrivateTmp: true, HideProc: true, Cgroups: []string{"/sys/fs/cgroup/pids/x"},
	Umask: 0o77, OOMScoreAdj: -1, NoFile: 1 << 20,
}

// What is read is done as root: it is whole and sound, or it is refused.
func FuzzSpec(f *testing.F) {
	data, err := full.Encode()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"UID":-1}`))
	f.Add([]byte(`{"UID":-1,"Binds":[{"Source":"/a/../b"}]}{}`))
	f.Add([]byte(`{"UID":4294967295,"Groups":null,"ReadOnly":["/"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			require.Zero(t, s)
			return
		}
		require.NoError(t, s.validate())
		require.False(t, s.UID == 0 && !s.Privileged)
		again, err := s.Encode()
		require.NoError(t, err)
		same, err := Decode(again)
		require.NoError(t, err)
		require.Equal(t, s, same)
	})
}

func TestSpecIsCheckedByBothSides(t *testing.T) {
	data, err := full.Encode()
	require.NoError(t, err)
	got, err := Decode(data)
	require.NoError(t, err)
	require.Equal(t, full, got)

	for text, change := range map[string]func(*Spec){
		`Program: "p" is not an absolute, clean path`:    func(s *Spec) { s.Program = "p" },
		`Args: there is no arg[0]`:                       func(s *Spec) { s.Args = nil },
		`Env: "a\x00" has a zero byte`:                   func(s *Spec) { s.Env = []string{"a\x00"} },
		`Args: "a\x00" has a zero byte`:                  func(s *Spec) { s.Args = []string{"a\x00"} },
		`Listen: "a:b" is not the name of a socket`:      func(s *Spec) { s.Listen = []string{"a:b"} },
		`Listen: 65 sockets are more than 64`:            func(s *Spec) { s.Listen = make([]string, 65) },
		`UID: root needs Privileged`:                     func(s *Spec) { s.UID, s.Privileged = 0, false },
		`-1 is neither a user nor a group`:               func(s *Spec) { s.Groups = []int{-1} },
		`Capabilities: "NET_RAW" is not known`:           func(s *Spec) { s.Capabilities = []string{"NET_RAW"} },
		`ReadOnly: the root folder cannot be changed`:    func(s *Spec) { s.ReadOnly = []string{"/"} },
		`Hidden: "/a/.." is not an absolute, clean path`: func(s *Spec) { s.Hidden = []string{"/a/.."} },
		`Cgroups: "x" is not an absolute, clean path`:    func(s *Spec) { s.Cgroups = []string{"x"} },
		`Binds: "" is not an absolute, clean path`:       func(s *Spec) { s.Binds = []Bind{{Source: "/a"}} },
		`Umask: 512 is not -1 to 0777`:                   func(s *Spec) { s.Umask = 0o1000 },
		`OOMScoreAdj: 1001 is not -1000 to 1000`:         func(s *Spec) { s.OOMScoreAdj = 1001 },
		`Keeper: -1 is no process`:                       func(s *Spec) { s.Keeper = -1 },
	} {
		s := full
		change(&s)
		_, err := s.Encode()
		require.EqualError(t, err, "describe the start of "+s.Program+": "+text)
	}
	for _, text := range []string{"", "{", "[]", `{"UID":-1,"New":1}`, `{"UID":-1}{"UID":-1}`} {
		_, err := Decode([]byte(text))
		require.ErrorContains(t, err, "read what to do: ", text)
	}
	_, err = Decode([]byte("{}"))
	require.EqualError(t, err, "read what to do: UID: root needs Privileged", "nothing said is no right given")
}

func FuzzMount(f *testing.F) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(f, err)
	for line := range strings.Lines(string(text)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Add(`36 35 98:0 /m /a\040b\134 ro,noatime,nosymfollow master:1 shared:2 - ext3 /dev/root rw,errors=continue`)
	f.Fuzz(func(t *testing.T, line string) {
		m, err := parseMount(line)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(m.point), len(line))
		require.NotContains(t, m.super, " ")
	})
}

func TestMountIsRead(t *testing.T) {
	m, err := parseMount(`36 35 98:0 /m /a\040b\134 ro,noatime,nosymfollow master:1 - proc /dev/root rw,hidepid=invisible`)
	require.NoError(t, err)
	require.Equal(t, mounted{`/a b\`, 1 | 1024 | 256, "proc", "rw,hidepid=invisible"}, m)
	for _, line := range []string{
		"", "a - b", `1 2 3 / /a\9 rw - x y z`, `1 2 3 / /a\01 rw - x y z`, "1 2 3 / /a rw - x y",
	} {
		_, err := parseMount(line)
		require.ErrorContains(t, err, "read mounts: ", line)
	}
}
