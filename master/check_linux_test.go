package master_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master"
)

// Whoever checks as another user than the master's is told so, and not that nothing runs.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		requires.Missing(t, "a check as another user", "run the tests as root")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	check := func() (err error) {
		asNobody(t, func() { err = checked(dir, "conf.yml") })
		return err
	}
	cfg := func() (out []string) {
		c, err := master.LoadConfig(filepath.Join(dir, "conf.yml"))
		require.NoError(t, err)
		asNobody(t, func() { out = c.Unwritable(dir) })
		return out
	}
	text := "mode: native\nserver: {address: 'unix://var/run/baetyl.sock'}"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf.yml"), []byte(text), 0o644))
	data := filepath.Join(dir, "var/db/baetyl")
	require.NoError(t, os.MkdirAll(data, 0o755))
	require.NoError(t, check())
	said := strings.Join(cfg(), "\n")
	require.Contains(t, said, "uid 65534 may not write to "+dir+"/var: a master of this user cannot start")
	require.Contains(t, said, "may not write to "+data+": ")
	require.Len(t, cfg(), 2)
	for name, content := range map[string]string{"application.yml": "{}", "application.last": "x"} {
		require.NoError(t, os.WriteFile(filepath.Join(data, name), []byte(content), 0o600))
	}
	err := check()
	require.ErrorContains(t, err, "permission denied; check as the user that runs the master")
	require.NotContains(t, err.Error(), "nothing runs")
	require.NoError(t, os.Chmod(filepath.Join(data, "application.yml"), 0o644))
	require.NoError(t, check())
	require.NoError(t, os.WriteFile(filepath.Join(data, "application.yml"), []byte("services: 1"), 0o644))
	err = check()
	require.ErrorContains(t, err, "services: expected a list")
	require.NotContains(t, err.Error(), "nothing runs")
	require.NoError(t, os.Chmod(data, 0o700))
	require.ErrorContains(t, check(), "permission denied; check as the user that runs the master")
	require.NoError(t, os.Chmod(data, 0o777))
	require.NoError(t, os.Chmod(filepath.Join(dir, "var"), 0o777))
	require.Empty(t, cfg())
}

// asNobody calls f in a thread whose effective user is nobody.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	const nobody, keep = 65534, ^uintptr(0)
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, nobody, keep)
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	require.Zero(t, <-done)
}
