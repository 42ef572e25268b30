//go:build linux

package launch

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
	"github.com/stretchr/testify/require"
)

const denied = "operation not permitted"

// A process of another user, with a secret in its environment.
func stranger(t *testing.T, uid uint32) (pid string) {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "600")
	cmd.Env = []string{"TOKEN=secret"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return strconv.Itoa(cmd.Process.Pid)
}

func TestOtherProcessesAreOutOfReach(t *testing.T) {
	needRoot(t)
	for _, other := range []string{stranger(t, service+1), stranger(t, 0), strconv.Itoa(os.Getpid())} {
		want := map[string]string{
			"signal:" + other: denied, "trace:" + other: denied, "environ:" + other: "permission denied",
			"memory:" + other: "permission denied", "root:" + other: "permission denied", "enter:" + other: "permission denied",
		}
		s := spec(attack.Arg)
		require.Equal(t, want, try(t, s, keys(want)...))
		s.Args[1] = attack.ArgRoot
		got := try(t, s, keys(want)...)
		if got[attack.NoNamespace] == "" {
			require.Equal(t, want, got, "as root of a user namespace")
		}
	}
}

func TestOtherProcessesAreNotSeen(t *testing.T) {
	needRoot(t)
	if err := Probe("/tmp").HideProc; err != nil {
		t.Skip("this kernel cannot hide them: ", err)
	}
	other := stranger(t, service+1)
	s := spec(attack.Arg)
	require.Contains(t, strings.Fields(try(t, s, "processes:")["processes:"]), other)
	s.HideProc = true
	want := map[string]string{
		"processes:": "nobody else is seen", "read:/proc/" + other + "/cmdline": "no such file or directory",
		"environ:" + other: "no such file or directory", "unmount:/proc": denied,
	}
	require.Equal(t, want, try(t, s, keys(want)...))
	s.Args[1] = attack.ArgRoot
	if got := try(t, s, "unmount:/proc", "environ:"+other); got[attack.NoNamespace] == "" {
		require.Equal(t, "invalid argument", got["unmount:/proc"])
		require.Equal(t, "no such file or directory", got["environ:"+other])
	}
	entries, err := filepath.Glob("/proc/" + other + "/cmdline")
	require.NoError(t, err)
	require.Len(t, entries, 1, "the host still sees it")
}

func TestRightsCannotBeHad(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	asRoot := filepath.Join(dir, "id")
	copyFile(t, "/usr/bin/id", asRoot, 0o755)
	require.NoError(t, os.Chmod(asRoot, 0o755|os.ModeSetuid|os.ModeSetgid))
	start := func(change func(*Spec), attacks ...string) map[string]string {
		s := spec(attack.Arg)
		s.NoFile = 1000
		change(&s)
		return try(t, s, attacks...)
	}
	want := map[string]string{
		"user:0": denied, "group:0": denied, "device:" + dir + "/mem": denied, "mount:" + dir: denied, "packets:": denied,
		"files:1001": denied, "read:/etc/shadow": "permission denied",
	}
	if privileged() {
		want["listen:81"] = "permission denied"
	}
	require.Equal(t, want, start(func(*Spec) {}, keys(want)...))

	id := start(func(*Spec) {}, "run:"+asRoot)["run:"+asRoot]
	require.Contains(t, id, "uid="+strconv.Itoa(service))
	require.NotContains(t, id, "euid")

	port := "listen:" + freePort(t)
	got := start(func(s *Spec) { s.Capabilities = []string{"CAP_NET_BIND_SERVICE"} }, "listen:81", port, "packets:")
	require.Equal(t, map[string]string{"listen:81": attack.Worked, port: attack.Worked, "packets:": denied}, got)
}

// privileged tells whether ports below 1024 need a right on this machine.
func privileged() bool {
	first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	return err != nil || strings.TrimSpace(string(first)) == "1024"
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, mode))
}

// A script that writes to /dev/stderr opens the pipe by its name.
func TestOutputCanBeOpenedByName(t *testing.T) {
	needRoot(t)
	s := spec(attack.Arg, "append:/dev/stderr", "append:/dev/stdout")
	for text, outcome := range try(t, s, s.Args[2:]...) {
		require.Equal(t, attack.Worked, outcome, text)
	}
}

func TestHiddenSocketCannotBeOpened(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	path := filepath.Join(dir, "admin.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.Chmod(path, 0o666))
	s := spec(attack.Arg)
	s.UID, s.GID, s.Privileged = 0, 0, true
	require.Equal(t, attack.Worked, try(t, s, "connect:"+path)["connect:"+path])
	s.Hidden = []string{path}
	require.Equal(t, "connection refused", try(t, s, "connect:"+path)["connect:"+path])
	s.Hidden = []string{dir} // what is made in it later is hidden, too
	require.Equal(t, "no such file or directory", try(t, s, "connect:"+path)["connect:"+path])
}

func TestProgramIsInTheCgroups(t *testing.T) {
	needRoot(t)
	pids, line := "/sys/fs/cgroup/pids", "pids:/"
	if _, err := os.Stat(pids); err != nil { // version 2
		pids, line = "/sys/fs/cgroup", "0::/"
	}
	dir := filepath.Join(pids, "launch-test-"+strconv.Itoa(os.Getpid()))
	require.NoError(t, os.Mkdir(dir, 0o755))
	defer func() { // busy until the last process is gone
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, time.Minute, time.Millisecond)
	}()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pids.max"), []byte("20"), 0))
	s := spec(attack.Arg)
	s.Cgroups = []string{dir}
	got := try(t, s, "fork:30", "read:/proc/self/cgroup", "cgroup:"+pids, "cgroup:"+dir)
	require.Contains(t, got["read:/proc/self/cgroup"], line+filepath.Base(dir)+"\n")
	require.Equal(t, "resource temporarily unavailable", got["fork:30"])
	require.Equal(t, "permission denied", got["cgroup:"+pids])

	s.Cgroups = []string{dir + "/missing"}
	_, text := refused(t, s)
	require.Contains(t, text, "enter the cgroups: open "+dir+"/missing/cgroup.procs")
}

func TestTmpIsBounded(t *testing.T) {
	needRoot(t)
	s := spec(attack.Arg)
	s.PrivateTmp = true
	s.Binds = []Bind{{Source: filepath.Dir(program()), Target: filepath.Dir(program())}}
	const mounts = "read:/proc/self/mountinfo"
	text := try(t, s, mounts)[mounts]
	require.Regexp(t, `(?m) /tmp rw,nosuid,nodev,relatime.* - tmpfs tmpfs rw,size=\d+k,nr_inodes=131072`, text)
	require.Regexp(t, `(?m) /var/tmp rw,nosuid,nodev,relatime.* - tmpfs tmpfs rw,size=\d+k,nr_inodes=131072`, text)
}
