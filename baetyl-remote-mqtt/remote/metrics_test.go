package remote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/metricstest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// The numbers of the bridge, at the socket in its run folder: their series are those of its rules.
func TestMetrics(t *testing.T) {
	dir, err := os.MkdirTemp("", "remote")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_, at := hubs(t, openHub, openHub)
	t.Setenv(masterapi.EnvRunDir, dir)
	b := between(t, at[0], at[1])
	b.start()
	connected(t, b)
	socket := filepath.Join(dir, masterapi.ServiceAdmin)
	mqtttest.Until(t, "the socket is there", func() bool { _, err := os.Stat(socket); return err == nil })
	before := metricstest.Page(t, socket)
	for _, side := range []string{"hub", "remote"} {
		require.Contains(t, before, fmt.Sprintf("baetyl_remote_connected{remote=\"far\",rule=\"0\",side=%q} 1\n", side))
	}
	d := client(t, at[0], "publisher", nil)
	for i := range 100 {
		require.NoError(t, d.Publish(mqtt.TopicInfo{Topic: "up", QOS: 1}, fmt.Append(nil, i)))
	}
	const forwarded = `baetyl_remote_messages_total{direction="hub_to_remote",kind="forwarded",remote="far",rule="0"} 100`
	mqtttest.Until(t, "all are forwarded", func() bool {
		return strings.Contains(metricstest.Page(t, socket), forwarded+"\n")
	})
	series := func(page string) int { return strings.Count(page, "\nbaetyl_") }
	require.Equal(t, series(before), series(metricstest.Page(t, socket)))
}
