//go:build linux

package launch

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What every service must not have, whoever starts it.
func requireClean(t *testing.T, s seen) {
	t.Helper()
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		require.Equal(t, "0000000000000000", s.Status[set], set)
	}
	require.Equal(t, "1", s.Status["NoNewPrivs"])
	require.Equal(t, "0000000000000000", s.Status["SigIgn"])
	require.Equal(t, "0000000000000000", s.Status["SigBlk"])
	require.Equal(t, []int{0, 1, 2}, s.Descriptors)
	require.Equal(t, []int{s.PID, s.PID}, []int{s.Session, s.Group})
	require.False(t, s.Terminal)
	require.EqualValues(t, unix.SIGKILL, s.Death)
	require.Equal(t, os.Getpid(), s.Parent)
	require.EqualValues(t, 0, s.Core)
	require.Equal(t, "0", s.OOMScoreAdj)
}

func TestProgramIsAUserWithoutRights(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	s := spec("see", "x", "")
	s.Groups, s.Umask, s.NoFile, s.Dir = []int{service + 1, 20}, 0o027, 777, dir
	var got seen
	out, why := output(t, command(), s)
	require.Empty(t, why)
	require.NoError(t, json.Unmarshal([]byte(out), &got))

	requireClean(t, got)
	id := strconv.Itoa(service)
	four := strings.TrimSpace(strings.Repeat(id+" ", 4))
	require.Equal(t, four, got.Status["Uid"])
	require.Equal(t, four, got.Status["Gid"])
	require.Equal(t, "20 "+strconv.Itoa(service+1), got.Status["Groups"])
	require.Equal(t, "0000000000000000", got.Status["CapBnd"])
	require.Equal(t, secureBits, got.SecureBits)
	require.Equal(t, 0o027, got.Umask)
	require.Equal(t, dir, got.Dir)
	require.EqualValues(t, 777, got.NoFile)
	require.Equal(t, []string{"victim", "see", "x", ""}, got.Args)
}

// A keeper that was started badly: it ignores and blocks signals, has descriptors open, and makes its child a leader.
func TestNothingOfTheKeeperIsLeft(t *testing.T) {
	file, err := os.Open("/etc/passwd")
	require.NoError(t, err)
	defer file.Close()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	all.Val[0] = ^all.Val[0]
	require.NoError(t, unix.PthreadSigmask(unix.SIG_BLOCK, &all, &old))
	defer func() { require.NoError(t, unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)) }()
	signal.Ignore(unix.SIGPIPE, unix.SIGHUP, unix.SIGINT, unix.SIGTSTP, unix.SIGTTOU, unix.SIGUSR1)
	defer signal.Reset()

	s := spec("see")
	if os.Geteuid() != 0 {
		s.UID, s.GID = -1, -1
	}
	data, err := s.Encode()
	require.NoError(t, err)
	in, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	r, status, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := command()
	cmd.ExtraFiles = []*os.File{in, status, file, file, file} // 5 to 7
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}     // a leader cannot start a session at once
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	require.NoError(t, cmd.Run())
	require.NoError(t, errors.Join(in.Close(), status.Close()))
	var got seen
	require.NoError(t, json.Unmarshal([]byte(text.String()), &got), text.String())
	requireClean(t, got)
}

func TestPlainUserNeedsNoRights(t *testing.T) {
	needRoot(t) // to become a plain user first
	s := spec("see")
	s.UID, s.GID, s.OOMScoreAdj = -1, -1, 0
	plain := func() *exec.Cmd {
		cmd := command()
		cmd.Path = program()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: service, Gid: service}}
		return cmd
	}
	out, why := output(t, plain(), s)
	require.Empty(t, why)
	var got seen
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	requireClean(t, got)

	for text, change := range map[string]func(*Spec){
		"set the groups: operation not permitted":                        func(s *Spec) { s.UID = service },
		"change the user: group 5: operation not permitted":              func(s *Spec) { s.GID = 5 },
		"make mounts: create a mount namespace: operation not permitted": func(s *Spec) { s.PrivateTmp = true },
		"change the user: keep CAP_KILL: this process does not have it": func(s *Spec) {
			s.Capabilities = []string{"CAP_KILL"}
		},
	} {
		bad := s
		change(&bad)
		out, why := output(t, plain(), bad)
		require.Equal(t, "0 "+text, why, out)
	}
}

func TestCapabilitiesThatAreNamedStay(t *testing.T) {
	needRoot(t)
	s := spec("see")
	s.Capabilities = []string{"CAP_NET_BIND_SERVICE", "CAP_BPF"}
	var got seen
	launched(t, s, &got)
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"} {
		require.Equal(t, "0000008000000400", got.Status[set], set)
	}
	require.EqualValues(t, unix.SIGKILL, got.Death, "exec forgets the death signal when it raises capabilities")

	s.UID, s.GID, s.Privileged = 0, 0, true // root with these alone
	launched(t, s, &got)
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"} {
		require.Equal(t, "0000008000000400", got.Status[set], set)
	}
}

func TestPrivilegedProgramKeepsCapabilities(t *testing.T) {
	needRoot(t)
	s := spec("see")
	s.UID, s.GID, s.Privileged = 0, 0, true
	var got seen
	launched(t, s, &got)
	own := status("self")
	require.Equal(t, own["CapEff"], got.Status["CapEff"])
	require.Equal(t, own["CapBnd"], got.Status["CapBnd"])
	require.Equal(t, "1", got.Status["NoNewPrivs"])
	require.Empty(t, got.Status["Groups"])
}

func TestProgramThatCannotRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for _, c := range []struct {
		path  string
		errno syscall.Errno
	}{
		{filepath.Join(dir, "missing"), unix.ENOENT},
		{write("interpreter", "#!/does/not/exist\n", 0o755), unix.ENOENT},
		{write("plain", "#!/bin/sh\n", 0o644), unix.EACCES},
		{write("format", "\x00\x01\x02", 0o755), unix.ENOEXEC},
		{dir, unix.EACCES},
	} {
		errno, text := refused(t, Spec{Program: c.path, Args: []string{"x"}, UID: -1, GID: -1})
		require.Equal(t, c.errno, errno, c.path)
		require.Equal(t, "exec "+c.path+": "+c.errno.Error(), text)
	}
}

// The service ends with its keeper, also when that ended before the shim looked.
func TestProgramEndsWithItsKeeper(t *testing.T) {
	needRoot(t)
	keeper := exec.Command("/bin/sh", "-c", `exec 3<"$1" 4>/dev/null; "$0" native-shim & echo $!; wait`, program())
	s := spec("wait")
	s.Capabilities = []string{"CAP_NET_BIND_SERVICE"}

	fifo := filepath.Join(t.TempDir(), "spec")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	keeper.Args = append(keeper.Args, fifo)
	out, err := keeper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, keeper.Start())
	s.Keeper = keeper.Process.Pid
	data, err := s.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(fifo, data, 0))
	line := make([]byte, 32)
	n, err := out.Read(line)
	require.NoError(t, err)
	pid := strings.TrimSpace(string(line[:n]))
	require.Eventually(t, func() bool { return status(pid)["Name"] == "victim" }, time.Minute, time.Millisecond)
	require.NoError(t, keeper.Process.Kill())
	require.Error(t, keeper.Wait())
	require.Eventually(t, func() bool { return ended(pid) }, time.Minute, time.Millisecond)

	s.Keeper++ // any process that is not the parent
	_, text := refused(t, s)
	require.Contains(t, text, "die with the keeper: the parent is process "+strconv.Itoa(os.Getpid()))
}

// ended tells whether there is no such process, or one that nobody has asked about yet.
func ended(pid string) bool {
	state := status(pid)["State"]
	return state == "" || strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

func TestProbeFindsWhatRootCan(t *testing.T) {
	needRoot(t)
	a := Probe(t.TempDir())
	require.NoError(t, errors.Join(a.Users, a.Capabilities, a.Namespaces, a.ReadOnly))
	t.Log("hide processes:", a.HideProc)

	a = Probe("/does/not/exist")
	require.NoError(t, a.Namespaces, "what is missing need not be hidden")
	require.EqualError(t, a.ReadOnly, "make mounts: bind /does/not/exist: open /does: no such file or directory")
}
