package main

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// kill -9 of the bridge, the hub and the far broker, a hub too, at random moments while messages flow both ways at QoS 1: nothing is
// lost, and what comes twice was in flight. REMOTE_KILLS sets the number of kills (make remote-crash).
func TestKill(t *testing.T) {
	kills := 9
	if n, err := strconv.Atoi(os.Getenv("REMOTE_KILLS")); err == nil {
		kills = n
	}
	const most = 5_000_000
	both, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.start()
	up, down := count(t, at[1], "up", most), count(t, at[0], "down", most)
	connected(t, b)

	ctx, cancel := context.WithCancel(context.Background())
	var sentUp, sentDown int
	var flows sync.WaitGroup
	flows.Go(func() { sentUp = flow(ctx, t, client(t, at[0], "p-up", nil), "up", most) })
	flows.Go(func() { sentDown = flow(ctx, t, client(t, at[1], "p-down", nil), "down", most) })
	victims := []*process{b, both[0], both[1]}
	for i := range kills {
		before := up.came() + down.came()
		some := 50 + rand.IntN(1000) // so that each kill meets another moment
		mqtttest.Until(t, "messages flow", func() bool { return up.came()+down.came() > before+some })
		v := victims[i%3]
		v.end(syscall.SIGKILL)
		v.start()
	}
	cancel()
	flows.Wait()
	mqtttest.Until(t, "everything came", func() bool { return up.came() >= sentUp && down.came() >= sentDown })
	lostUp, copiesUp := up.of(sentUp)
	lostDown, copiesDown := down.of(sentDown)
	require.Zero(t, lostUp+lostDown)
	t.Logf("%d kills: up %d messages, %d copies; down %d messages, %d copies; nothing lost", kills, sentUp, copiesUp, sentDown, copiesDown)
	// With each kill a window can come again: of the publisher (100), of a hub (100), of the bridge (20, and 10 in its queue).
	require.LessOrEqual(t, copiesUp, kills*230)
	require.LessOrEqual(t, copiesDown, kills*230)
}

// A bridge that is stopped in order, while messages flow both ways, repeats none.
func TestStopInOrder(t *testing.T) {
	const most = 1_000_000
	_, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.start()
	up, down := count(t, at[1], "up", most), count(t, at[0], "down", most)
	connected(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	var sentUp, sentDown int
	var flows sync.WaitGroup
	flows.Go(func() { sentUp = flow(ctx, t, client(t, at[0], "p-up", nil), "up", most) })
	flows.Go(func() { sentDown = flow(ctx, t, client(t, at[1], "p-down", nil), "down", most) })
	for range 10 {
		before := up.came() + down.came()
		mqtttest.Until(t, "messages flow", func() bool { return up.came()+down.came() > before+500 })
		b.end(syscall.SIGTERM)
		require.Equal(t, 0, b.cmd.ProcessState.ExitCode())
		b.start()
	}
	cancel()
	flows.Wait()
	mqtttest.Until(t, "everything came", func() bool { return up.came() >= sentUp && down.came() >= sentDown })
	_, copiesUp := up.of(sentUp)
	_, copiesDown := down.of(sentDown)
	t.Logf("10 stops: up %d messages, down %d", sentUp, sentDown)
	require.Zero(t, copiesUp+copiesDown)
}

// The will of a rule tells the far side that the bridge is gone; a bridge that is stopped in order leaves none.
func TestWill(t *testing.T) {
	_, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.configure(func(text string) string {
		return strings.Replace(text, "{name: far, sub", "{name: far, will: {topic: gone, payload: '7', qos: 1}, sub", 1)
	})
	b.start()
	gone := count(t, at[1], "gone", 10)
	connected(t, b)
	b.end(syscall.SIGTERM)
	b.start()
	mqtttest.Until(t, "the bridge is back", func() bool { return strings.Count(b.said(), "msg=connected") == 4 })
	require.Zero(t, gone.came())
	b.end(syscall.SIGKILL)
	mqtttest.Until(t, "the will comes", func() bool { return gone.came() == 1 })
}
