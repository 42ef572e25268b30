//go:build linux

package cmd_test

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A person finds the admin socket of the hub by the name of its instance, in each life of the hub.
func TestAdminSocketOfTheHub(t *testing.T) {
	t.Parallel()
	port := mqtttest.FreePort(t)
	d := newHubDevice(t, port, mqtttest.FreePort(t))
	d.start(t)
	api := d.client(t, "loop")
	path := d.path(filepath.Join("var/run/baetyl", "instances", "hub", "hub", masterapi.ServiceAdmin))
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + path, Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	hub := 0
	for range 2 {
		before := hub
		mqtttest.Until(t, "the hub runs", func() bool { hub = hubOf(api); return hub != 0 && hub != before })
		mqtttest.Until(t, "the admin socket answers", func() bool {
			counters := map[string]int64{}
			err := c.Get(context.Background(), hubapi.Counters, &counters)
			_, has := counters["connections"]
			return err == nil && has
		})
		require.NoError(t, syscall.Kill(hub, syscall.SIGKILL))
	}
}
