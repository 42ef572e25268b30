package hub_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// With few descriptors the hub raises the soft limit to the hard one, says once that connection.max is more, and takes
// as many connections as fit.
func TestLimitOfOpenFiles(t *testing.T) {
	for limits, want := range map[string]string{
		"ulimit -Sn 100; ulimit -Hn 300": "the limit of open files is 300 (ulimit -n, LimitNOFILE): taking 236 connections",
		"ulimit -n 70":                   "the limit of open files is 70 (ulimit -n, LimitNOFILE): taking 6 connections at most",
	} {
		cmd := exec.Command("sh", "-c", limits+`; exec "$0"`, os.Args[0])
		out := &mqtttest.Output{}
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Env = append(os.Environ(), envDir+"="+t.TempDir(), envAddr+"=127.0.0.1:0")
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool {
			return strings.Contains(out.String(), want)
		}, time.Minute, time.Millisecond, limits)
		require.Equal(t, 1, strings.Count(out.String(), "the limit of open files"))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
}
