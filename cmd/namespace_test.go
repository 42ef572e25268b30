//go:build linux

package cmd_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// In a PID namespace of its own the keeper is process 1, and its group is one of outside.
func TestPIDNamespace(t *testing.T) {
	t.Parallel()
	unshare := requires.Command(t, "unshare", "apt-get install util-linux")
	if os.Getuid() != 0 {
		requires.Missing(t, "root", "run as root")
	}
	d := newBusyDevice(t)
	in := func(flags ...string) *exec.Cmd {
		args := append([]string{"--pid", "--fork", "--kill-child"}, flags...)
		return exec.Command(unshare, append(args, d.path("bin/baetyl"), "start")...)
	}
	out, err := in().CombinedOutput()
	require.Equal(t, 1, statusOf(err), "%s", out)
	require.Contains(t, string(out), "/proc shows the processes of another PID namespace")

	c := in("--mount-proc")
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	d.answers(t)
	d.await(t, copies)
	said, status := d.run("exec", "loop", "--", "sh", "-c", "exit 3")
	require.Equal(t, 3, status, said)
	said, status = d.run("stop")
	require.Zero(t, status, said)
	require.NoError(t, c.Wait())
	require.Empty(t, d.processes())
}
