//go:build linux

package cmd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// sshd is a real one on this machine, which lets the user of the test in.
type sshd struct {
	t    *testing.T
	port int
	env  []string // of a client
}

func newSSHD(t *testing.T) sshd {
	t.Helper()
	const hint = "apt-get install openssh-server"
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		requires.Missing(t, "sshd", hint)
	}
	client := requires.Command(t, "ssh", "apt-get install openssh-client")
	dir := t.TempDir()
	for _, name := range []string{"host", "id"} {
		require.NoError(t, exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).Run())
	}
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // which sshd wants to be there
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	write("sshd.conf", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/id.pub\n"+
		"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n", port, dir, dir), 0o600)
	write("ssh.conf", fmt.Sprintf("IdentityFile %s/id\nStrictHostKeyChecking no\n"+
		"UserKnownHostsFile /dev/null\nLogLevel ERROR\n", dir), 0o600)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	write("bin/ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F %s/ssh.conf \"$@\"\n", client, dir), 0o755)
	c := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "sshd.conf"))
	require.NoError(t, c.Start())
	t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return sshd{t, port, append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))}
}

// on returns the program as a person runs it elsewhere, for the device.
func (s sshd) on(d *device, args ...string) *exec.Cmd {
	host := fmt.Sprintf("--host=ssh://127.0.0.1:%d%s", s.port, d.path("bin/baetyl"))
	c := exec.Command(d.path("bin/baetyl"), append([]string{host}, args...)...)
	c.Env = s.env
	return c
}

func (s sshd) says(c *exec.Cmd) (string, int) {
	out, err := c.CombinedOutput()
	return string(out), statusOf(err)
}

// The same commands work on another device: arguments, input, files and statuses are as here.
func TestCommandsOnAnotherDevice(t *testing.T) {
	t.Parallel()
	s := newSSHD(t)
	d := newBusyDevice(t)
	d.runs(t)
	odd := `a'b "c" $HOME ; *` + "\n\\"
	out, status := s.says(s.on(d, "exec", "-e", "X="+odd, "loop", "--",
		"sh", "-c", `printf '%s|' "$X" "$@"; exit 9`, "sh", odd, "-x", ""))
	require.Equal(t, 9, status, out)
	require.Equal(t, odd+"|"+odd+"|-x||", out)
	c := s.on(d, "exec", "-i", "loop", "--", "cat")
	c.Stdin = strings.NewReader("in\x00put")
	out, status = s.says(c)
	require.Zero(t, status, out)
	require.Equal(t, "in\x00put", out)
	c = s.on(d, "exec", "loop", "--", "cat") // the list of a loop is not read
	c.Stdin = strings.NewReader("list")
	out, status = s.says(c)
	require.Zero(t, status, out)
	require.Empty(t, out)
	out, status = s.says(s.on(d, "version"))
	require.Zero(t, status, out)
	require.Contains(t, out, "9.9.9")
	out, status = s.says(s.on(d, "exec", "ghost", "--", "true"))
	require.Equal(t, 1, status)
	require.Contains(t, out, "service (ghost) not found")
	require.NotContains(t, out, "exit status")
	out, status = s.says(s.on(d, "start"))
	require.Equal(t, 2, status)
	require.Contains(t, out, "runs on the device itself")
	out, status = s.says(s.on(d, "--host=ssh://other", "version"))
	require.Equal(t, 2, status)
	require.Contains(t, out, "write a loop")

	// A file that it makes is one of this computer, and whole.
	backup := filepath.Join(t.TempDir(), "a b.tar.gz")
	out, status = s.says(s.on(d, "backup", backup))
	require.Zero(t, status, out)
	info, err := os.Stat(backup)
	require.NoError(t, err)
	require.Positive(t, info.Size())
	out, status = s.says(s.on(d, "backup", backup))
	require.Equal(t, 2, status, out)
	require.Contains(t, out, "is there already")

	p := newPerson(t)
	before := p.mode()
	c = s.on(d, "exec", "loop", "--", "sh", "-c", "stty size; read line; echo \"got $line\"; exit 3")
	c = p.start(c)
	p.sees("33 77\r\n")
	p.types("text\n")
	p.sees("got text\r\n")
	require.Equal(t, 3, statusOf(c.Wait()))
	require.Equal(t, before, p.mode())

	c = exec.Command(d.path("bin/baetyl"), "--host=ssh://127.0.0.1:1", "version")
	c.Env = s.env
	out, status = s.says(c)
	require.Equal(t, 1, status)
	require.Contains(t, out, "ssh has not run the command on 127.0.0.1")
}

// Files that commands name are those of this computer: they are sent, used and removed there, or brought whole.
func TestFilesOnAnotherDevice(t *testing.T) {
	t.Parallel()
	s := newSSHD(t)
	d := newOperatedDevice(t)
	c, _ := d.start(t)
	d.answers(t)
	d.began(t, "v1 running")
	home := filepath.Join(t.TempDir(), "a 'b' $HOME")
	unique := fmt.Sprintf("app-%d.yml", s.port)
	write := func(name, text string) string {
		path := filepath.Join(home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	v2 := write(unique, fmt.Sprintf(updated, "v2", ""))
	expect := func(on *device, status int, part string, args ...string) {
		t.Helper()
		out, got := s.says(s.on(on, args...))
		require.Equal(t, status, got, "%q: %s", args, out)
		require.Contains(t, out, part, "%q", args)
		left, err := filepath.Glob("/tmp/tmp.*/" + unique)
		require.NoError(t, err)
		require.Empty(t, left, "%q", args)
	}
	expect(d, 0, `version "v2", 2 services, mode native`, "validate", v2)
	expect(d, 78, "line 5: services[0].imag: unknown key", "validate",
		write("wrong/"+unique, strings.Replace(fmt.Sprintf(updated, "v4", ""), "image: pkg", "imag: pkg", 1)))
	expect(d, 1, "no such file or directory", "validate", filepath.Join(home, "none.yml"))
	expect(d, 0, "services[1].args[0]: v1 → v2", "plan", v2)
	require.Equal(t, []string{"v1 running"}, d.history(t))
	expect(d, 0, `done: version "v2" runs`, "apply", v2)
	bad := strings.ReplaceAll(fmt.Sprintf(updated, "v3", "exit"), "replica: 2", "replica: 2\n    restart: {policy: no}")
	expect(d, 1, "the update was rolled back", "apply", "--yes", write("bad/"+unique, bad))
	in := s.on(d, "apply", "-")
	in.Stdin = strings.NewReader(fmt.Sprintf(updated, "v5", ""))
	out, status := s.says(in)
	require.Zero(t, status, out)

	folder := filepath.Dir(write("package/application.yml", strings.Replace(fmt.Sprintf(updated, "v6", ""),
		"volumes:\n", "volumes:\n  - {name: data, path: var/db/baetyl/data-v6}\n", 1)))
	write("package/var/db/baetyl/data-v6/"+unique, "content")
	expect(d, 0, "volume put in place: var/db/baetyl/data-v6", "apply", folder)
	got, err := os.ReadFile(d.path("var/db/baetyl/data-v6/" + unique))
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
	require.Equal(t, []string{"v6 running", "v5 ended", "v3 rolled_back", "v2 ended", "v1 ended"}, d.history(t))

	expect(d, 0, "secrets taken out at", "support-bundle", filepath.Join(home, "bundle.tar.gz"))
	backup := filepath.Join(home, unique+".tar.gz")
	expect(d, 0, "services were frozen for", "backup", backup)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
	other := newOperatedDevice(t)
	expect(other, 0, "nothing has been changed", "restore", "--dry-run", "--force", backup)
	expect(other, 1, "--force", "restore", backup)
	expect(other, 0, "start the master", "restore", "--force", "--yes", backup)
	other.start(t)
	other.answers(t)
	other.began(t, "v6 running")
	files, err := os.ReadDir(home)
	require.NoError(t, err)
	require.Len(t, files, 6, "the files of this computer: %v", files)
}
