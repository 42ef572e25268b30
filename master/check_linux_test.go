package master_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master"
)

// Whoever checks as another user than the master's is told so, and not that nothing runs.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		requires.Missing(t, "a check as another user", "run the tests as root")
	}
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		require.NoError(t, os.Chmod(at, 0o755))
	}
	const nobody = 65534
	check := func() error {
		said := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if err := unix.Setfsuid(nobody); err != nil {
				said <- err
				return
			}
			said <- master.Check(dir, "conf.yml")
		}()
		return <-said
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf.yml"), []byte("mode: native"), 0o644))
	data := filepath.Join(dir, "var/db/baetyl")
	require.NoError(t, os.MkdirAll(data, 0o755))
	require.NoError(t, check())
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
}
