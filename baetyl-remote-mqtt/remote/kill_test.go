package remote_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// kill -9 of the bridge, the hub and the far broker, a hub too, at random moments while messages flow both ways at
// QoS 1: nothing is lost, and what comes twice was in flight. REMOTE_KILLS sets the number of kills (make
// remote-crash).
func TestKill(t *testing.T) {
	kills := 9
	if n, err := strconv.Atoi(os.Getenv("REMOTE_KILLS")); err == nil {
		kills = n
	}
	both, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.start()
	x := cross(t, b, at[0], at[1])
	victims := []*process{b, both[0], both[1]}
	for i := range kills {
		x.wait(50 + rand.IntN(1000)) // so that each kill meets another moment
		v := victims[i%3]
		v.end(syscall.SIGKILL)
		v.start()
	}
	// With each kill a window can come again, each way: of the publisher (100), of a hub (100), of the bridge (20, and
	// 10 in its queue).
	require.LessOrEqual(t, x.end(), kills*2*230)
}

// A bridge that is stopped in order, while messages flow both ways, repeats none.
func TestStopInOrder(t *testing.T) {
	_, at := hubs(t, openHub, openHub)
	b := between(t, at[0], at[1])
	b.start()
	x := cross(t, b, at[0], at[1])
	for range 10 {
		x.wait(500)
		b.end(syscall.SIGTERM)
		require.Equal(t, 0, b.cmd.ProcessState.ExitCode())
		b.start()
	}
	require.Zero(t, x.end())
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
