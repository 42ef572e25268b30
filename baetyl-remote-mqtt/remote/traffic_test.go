package remote_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// most is more messages than a test sends in one direction, unless it says how many it sends.
const most = 1_000_000

// traffic is a steady flow of messages at QoS 1 over the bridge, both ways.
type traffic struct {
	t        *testing.T
	up, down *tally
	cancel   context.CancelFunc
	flows    sync.WaitGroup
	sentUp   int
	sentDown int
}

// cross starts traffic as soon as b, which runs, is connected.
func cross(t *testing.T, b *process, near, far string) *traffic {
	t.Helper()
	x := &traffic{t: t, up: count(t, far, "up", most), down: count(t, near, "down", most)}
	connected(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	x.flows.Go(func() { x.sentUp = flow(ctx, t, client(t, near, "p-up", nil), "up") })
	x.flows.Go(func() { x.sentDown = flow(ctx, t, client(t, far, "p-down", nil), "down") })
	return x
}

// wait returns when n more messages have come.
func (x *traffic) wait(n int) {
	x.t.Helper()
	before := x.up.came() + x.down.came()
	mqtttest.Until(x.t, "messages flow", func() bool { return x.up.came()+x.down.came() >= before+n })
}

// end stops the publishers, waits until everything has come, and returns the number of copies.
func (x *traffic) end() (copies int) {
	x.t.Helper()
	x.cancel()
	x.flows.Wait()
	mqtttest.Until(x.t, "everything came", func() bool { return x.up.came() >= x.sentUp && x.down.came() >= x.sentDown })
	lostUp, copiesUp := x.up.of(x.sentUp)
	lostDown, copiesDown := x.down.of(x.sentDown)
	require.Zero(x.t, lostUp+lostDown)
	x.t.Logf(
		"up %d messages, %d copies; down %d messages, %d copies; nothing lost",
		x.sentUp,
		copiesUp,
		x.sentDown,
		copiesDown,
	)
	return copiesUp + copiesDown
}

// tally counts what comes to a subscriber with a session that stays.
type tally struct {
	mu    sync.Mutex
	times []int // by number
	kinds int   // different numbers that came
}

func count(t *testing.T, address, topic string, most int) *tally {
	t.Helper()
	c, ready := &tally{times: make([]int, most)}, make(chan struct{}, 1000)
	client(
		t,
		address,
		"tally-"+topic,
		mqtt.Funcs{Connect: func(bool) { ready <- struct{}{} }, Message: func(m *mqtt.Delivery) {
			c.mu.Lock()
			defer c.mu.Unlock()
			var n int
			fmt.Sscan(string(m.Payload), &n)
			if c.times[n]++; c.times[n] == 1 {
				c.kinds++
			}
			m.Ack()
		}},
		mqtt.TopicInfo{Topic: topic, QOS: 1},
	)
	<-ready
	return c
}

func (c *tally) came() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kinds
}

// of returns how many of the first n are missing, and how many copies came too many.
func (c *tally) of(n int) (absent, copies int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.times[:n] {
		if times == 0 {
			absent++
		}
		copies += max(0, times-1)
	}
	return absent, copies
}

// flow publishes numbers at QoS 1 until ctx ends, and returns how many there were once all are acknowledged.
func flow(ctx context.Context, t *testing.T, d *mqtt.Dispatcher, topic string) int {
	n := 0
	for ; n < most && ctx.Err() == nil; n++ {
		if err := d.Publish(mqtt.TopicInfo{Topic: topic, QOS: 1}, fmt.Append(nil, n)); err != nil {
			t.Errorf("publish: %v", err)
			break
		}
		if n%20 == 0 {
			select { // a steady flow, so that each kill meets messages under way
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	wait, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.Drain(wait); err != nil {
		t.Errorf("publisher of %s: %v: %+v", topic, err, d.Stats())
	}
	return n
}
