package cmd_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// An API on plain tcp that other hosts can reach is said, by check and at the start, and never refused: versions before
// accepted it. The file can say that it is meant.
func TestPlainAPI(t *testing.T) {
	for _, c := range []struct{ keys, warning, info string }{
		{"", "server.address: other hosts can reach 0.0.0.0:", ""},
		{", insecure: true", "", "which is plain tcp, as server.insecure says"},
	} {
		d := newBusyDevice(t)
		d.write(t, "etc/baetyl/conf.yml", fmt.Sprintf("mode: native\ngrace: 3s\nserver: {address: 'tcp://0.0.0.0:%d'%s}\n",
			mqtttest.FreePort(t), c.keys), 0o644)
		out, code := d.run("check")
		require.Zero(t, code)
		require.True(t, strings.HasPrefix(out, "OK!"), out)
		require.Equal(t, c.warning != "", strings.Contains(out, "warning: server.address: other hosts can reach"), out)
		cmd, said := d.start(t)
		require.Eventually(t, func() bool {
			return strings.Contains(said.String(), c.warning) && strings.Contains(said.String(), c.info) &&
				strings.Contains(said.String(), "master started")
		}, time.Minute, 10*time.Millisecond)
		require.Equal(t, 1, strings.Count(said.String(), "other hosts can reach"))
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
	}
}
