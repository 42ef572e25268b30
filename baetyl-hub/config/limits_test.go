package config_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

const two = listen + "principals: [{username: a}, {username: b, limits: {sessions: 7, queued: {disk: 1m}}}]\n"

// The defaults follow from the memory: half of what the machine has. Fewer connections are taken where that is little.
func TestPlan(t *testing.T) {
	for _, x := range []struct {
		yml               string
		machine           int64
		memory            int64
		connections       int
		subscriptions     int64 // of a principal
		queued, principal int64 // in memory, least
		client            int64
	}{
		{listen, 16 << 30, 8 << 30, 20000, 100_000, 2 << 30, 256 << 20, 64 << 20},
		{listen, 1 << 30, 512 << 20, 20000, 80_000, 70 << 20, 35 << 20, 8 << 20},
		{listen, 256 << 20, 128 << 20, 7445, 29_000, 256 << 10, 128 << 10, 128 << 10},
		{listen, 32 << 20, 0, 100, 400, 256 << 10, 128 << 10, 128 << 10},
		{listen + "limits: {memory: 1g}", 256 << 20, 1 << 30, 20000, 100_000, 200 << 20, 100 << 20, 25 << 20},
		{listen + "message: {length: {max: 20m}}", 64 << 20, 0, 100, 400, 160 << 20, 80 << 20, 80 << 20},
		{listen, 0, 0, 20000, 100_000, 80 << 20, 40 << 20, 10 << 20},
	} {
		t.Run(fmt.Sprint(x.yml, x.machine>>20), func(t *testing.T) {
			c, err := parse(x.yml)
			require.NoError(t, err)
			p := c.Plan(x.machine, 0)
			if x.memory > 0 {
				require.Equal(t, x.memory, p.Memory)
			}
			require.InDelta(t, x.connections, p.Connections, 100)
			require.EqualValues(t, p.Connections, p.Hub[budget.Sessions])
			require.GreaterOrEqual(t, p.Principal[budget.Subscriptions], x.subscriptions)
			require.GreaterOrEqual(t, p.Hub[budget.Memory], x.queued)
			require.GreaterOrEqual(t, p.Principal[budget.Memory], x.principal)
			require.GreaterOrEqual(t, p.Client[budget.Memory], x.client)
			require.Greater(t, p.Principal[budget.Retained], int64(15_000)-1)
			// All that may be used together leaves the collector its third.
			sum := p.Hub[budget.Memory] + p.Hub[budget.RetainedBytes]
			require.LessOrEqual(t, sum, p.Memory-int64(p.Connections)*12<<10)
		})
	}
}

// What is set in one place does not change another, and each principal may have limits of its own.
func TestLimitsAreTaken(t *testing.T) {
	c, err := parse(two + `
limits:
  memory: 2g
  retained: {messages: 9}
  principal: {connections: 3, retained: {bytes: 5k}}
  client: {queued: {memory: 6m, disk: 7m}}
storage: {max: 80m}
`)
	require.NoError(t, err)
	p := c.Plan(16<<30, 1<<40)
	require.EqualValues(t, 9, p.Hub[budget.Retained])
	require.EqualValues(t, 80<<20, p.Hub[budget.Disk])
	require.EqualValues(t, 3, p.Principal[budget.Connections])
	require.EqualValues(t, 5<<10, p.Principal[budget.RetainedBytes])
	require.EqualValues(t, 60<<20, p.Principal[budget.Disk])
	require.EqualValues(t, 6<<20, p.Client[budget.Memory])
	require.EqualValues(t, 7<<20, p.Client[budget.Disk])
	require.Equal(t, budget.Limits{}, c.Principals[0].Limits)
	own := c.Principals[1].Limits.Or(p.Principal)
	require.EqualValues(t, 7, own[budget.Sessions])
	require.EqualValues(t, 1<<20, own[budget.Disk])
	require.Equal(t, p.Principal[budget.Memory], own[budget.Memory])
}

// A principal that is alone may use all that the hub may, but sessions.
func TestPrincipalThatIsAlone(t *testing.T) {
	c, err := parse(listen + "principals: [{username: a}]\nstorage: {max: 80m}")
	require.NoError(t, err)
	require.Zero(t, c.Plan(1<<30, 1<<40).Principal[budget.Disk])
}
