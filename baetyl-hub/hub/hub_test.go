package hub_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// start runs a hub with the configuration and returns the port of each listener. It ends with the test.
func start(t testing.TB, yml string) []string {
	addrs, stop := startIn(t, t.TempDir(), yml)
	t.Cleanup(stop)
	return addrs
}

func startIn(t testing.TB, dir, yml string) (addrs []string, stop func()) {
	t.Helper()
	var cfg config.Config
	require.NoError(t, conf.Parse("service.yml", []byte(yml), &cfg))
	cfg.Storage.Dir = dir
	h, err := hub.Open(cfg, log.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	for _, a := range h.Addrs() {
		addrs = append(addrs, a.String())
	}
	return addrs, func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			t.Fatal("hub did not stop")
		}
	}
}

const open = `
listen: ['tcp://127.0.0.1:0', 'ws://127.0.0.1:0/mqtt']
metrics: {address: ''}
principals:
- username: test
  password: hahaha
  permissions:
  - {action: pub, permit: ['#']}
  - {action: sub, permit: ['#']}
- username: nobody
  password: hahaha
`
