package cmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A copy of a running installation, started beside it, harms nobody: it has users of its own and runs too. Where the
// configuration names the users both would have the same ones: the services of the copy say so, and do not start.
func TestCopyOfARunningInstallation(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{
		"users are chosen": "",
		"users are named":  fmt.Sprintf("native: {users: %[1]d00-%[1]d99}", 990+os.Getpid()%10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			d.configure(t, "grace: 3s\n"+lines)
			c, _ := d.start(t)
			before := d.await(t, copies)
			dir, err := os.MkdirTemp("", "bc")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			out, err := exec.Command("sh", "-c", `cp -a "$1"/. "$2"`, "sh", d.dir, dir).CombinedOutput()
			require.NoError(t, err, string(out))
			other := &device{dir: dir}
			t.Cleanup(other.kill)
			beside, _ := other.start(t)
			if lines == "" {
				other.await(t, copies)
				require.NotEqual(t, ownerOf(t, d.pidOf(t, "loop")), ownerOf(t, other.pidOf(t, "loop")))
				other.answers(t)
			} else {
				other.inspect(t, "the services do not say why they do not start", func(in masterapi.Inspect) bool {
					said, err := json.Marshal(in.Services)
					return err == nil && strings.Contains(string(said), "another installation")
				})
			}
			require.Equal(t, before, d.processes())
			require.NoError(t, beside.Process.Signal(os.Interrupt))
			require.NoError(t, beside.Wait())
			require.Empty(t, other.processes())
			require.NoDirExists(t, other.path("var/run/baetyl/services"))
			require.Equal(t, before, d.processes())
			d.answers(t)
			require.NoError(t, c.Process.Signal(os.Interrupt))
			require.NoError(t, c.Wait())
			require.Empty(t, d.processes())
		})
	}
}

// ownerOf is the user that a process runs as.
func ownerOf(t *testing.T, pid int) uint32 {
	t.Helper()
	info, err := os.Stat("/proc/" + strconv.Itoa(pid))
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Uid
}
