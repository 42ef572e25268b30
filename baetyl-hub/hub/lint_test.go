package hub_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

// number returns the value of a metric.
func number(t *testing.T, address, name string) float64 {
	t.Helper()
	require.Eventually(t, func() bool { // the hub may have just begun
		r, err := http.Get("http://" + address + "/healthz")
		return err == nil && r.Body.Close() == nil
	}, time.Minute, time.Millisecond, "no metrics")
	lines := bufio.NewScanner(strings.NewReader(get(t, "http://"+address+"/metrics")))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "baetyl_hub_"+name+" "); ok {
			x, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			return x
		}
	}
	require.Fail(t, "there is no metric "+name)
	return 0
}

// measured adds a port for metrics to a configuration, whose hub is to be started with it.
func measured(t *testing.T, yml string) (with, address string) {
	address = freeAddress(t)
	return strings.Replace(yml, "address: ''", "address: '"+address+"'", 1), address
}

// What the metrics say of the disk's syncs, and that all metrics are as Prometheus wants them.
func TestSyncTimes(t *testing.T) {
	yml, metrics := measured(t, open)
	addrs := start(t, yml)
	c, _ := connect(t, "tcp://test:hahaha@"+addrs[0], "c")
	f, err := c.Publish("t", []byte("x"), packet.QOS(1), true)
	require.NoError(t, err)
	require.NoError(t, f.Wait(20*time.Second))
	syncs := number(t, metrics, "store_syncs_total")
	require.Positive(t, syncs)
	require.GreaterOrEqual(t, number(t, metrics, "store_sync_seconds_count"), syncs)
	longest := number(t, metrics, "store_sync_longest_seconds")
	require.Positive(t, longest)
	require.GreaterOrEqual(t, number(t, metrics, "store_sync_seconds_sum"), longest)
	require.Equal(t, number(t, metrics, "store_sync_seconds_count"),
		number(t, metrics, `store_sync_seconds_bucket{le="+Inf"}`))
	require.NoError(t, c.Close())

	text := get(t, "http://"+metrics+"/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}
