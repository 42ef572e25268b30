package hub_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/metricstest"
)

// The master reads the numbers at the admin socket. Whatever clients call themselves, there are no more series of them.
func TestMetricsAtTheAdminSocket(t *testing.T) {
	d := openDesk(t, "")
	first, _ := join(t, d.url(0), "first", durable)
	subscribe(t, first, "t/#", 1)
	series := func() int { return strings.Count(metricstest.Page(t, d.path), "\nbaetyl_hub_") }
	before := series()
	for i := range 200 {
		c, _ := join(t, d.url(0), fmt.Sprintf("client-%d", i))
		publish(t, c, fmt.Sprintf("t/%d", i), "x", 1, true)
		require.NoError(t, c.Disconnect(time.Minute))
	}
	require.Equal(t, before, series())
	require.Contains(t, metricstest.Page(t, d.path), `baetyl_hub_budget_used{principal="test",resource="retained_messages"} 200`)
	status, _ := d.ask("POST", "/metrics", "")
	require.Equal(t, 404, status)
}
