//go:build vm

package vm_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/mqtt"
)

// flow is messages of QoS 1 through the hub of a machine, from this one and back.
type flow struct {
	m    *machine
	from *mqtt.Dispatcher // publishes
	to   *mqtt.Dispatcher // has a session that outlives its connections
	stop context.CancelFunc
	done sync.WaitGroup

	subscribed chan struct{} // the session is there, with its subscription

	mu      sync.Mutex
	acked   map[string]time.Duration // that the hub has acknowledged, and how long that took
	seen    map[string]bool          // that have arrived
	slowest time.Duration            // of acked
	failed  error                    // the last one of a connection
}

// flow begins to publish, with some messages in flight at a time.
func (m *machine) flow(inFlight int) *flow {
	m.Helper()
	f := &flow{m: m, acked: map[string]time.Duration{}, seen: map[string]bool{}}
	f.subscribe()
	f.from = m.client("flow-from")
	require.NoError(m, f.from.Start(nil))
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	next := make(chan string)
	f.done.Go(func() {
		defer close(next)
		for n := 0; ; n++ {
			select {
			case next <- fmt.Sprint(n):
			case <-ctx.Done():
				return
			}
		}
	})
	for range inFlight {
		f.done.Go(func() {
			for payload := range next {
				began := time.Now()
				if f.from.PublishWait(ctx, mqtt.Message{Topic: "flow", QOS: 1, Payload: []byte(payload)}) != nil {
					return
				}
				f.acknowledged(payload, time.Since(began))
			}
		})
	}
	require.Eventually(m, func() bool { return f.count() > 10 }, time.Minute, 10*time.Millisecond, "no message arrives")
	return f
}

func (m *machine) client(id string, filters ...mqtt.TopicInfo) *mqtt.Dispatcher {
	m.Helper()
	d, err := mqtt.NewDispatcher(mqtt.ClientInfo{
		Address: "tcp://" + m.port("1883"), Username: "test", Password: "hahaha", ClientID: id,
		Interval: time.Second, Subscriptions: filters,
	})
	require.NoError(m, err)
	return d
}

// subscribe begins to receive, also what came for the session meanwhile.
func (f *flow) subscribe() {
	f.m.Helper()
	f.to = f.m.client("flow-to", mqtt.TopicInfo{Topic: "flow", QOS: 1})
	f.subscribed = make(chan struct{}, 1)
	require.NoError(f.m, f.to.Start(f))
	select {
	case <-f.subscribed:
	case <-time.After(time.Minute):
		f.m.Fatalf("the hub does not answer a subscriber: %v", f.trouble())
	}
}

// OnConnect implements mqtt.ConnectHandler.
func (f *flow) OnConnect(bool) {
	select {
	case f.subscribed <- struct{}{}:
	default: // nobody waits for another connection
	}
}

func (f *flow) acknowledged(payload string, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked[payload] = after
	f.slowest = max(f.slowest, after)
}

// OnMessage implements mqtt.Handler.
func (f *flow) OnMessage(d *mqtt.Delivery) {
	f.mu.Lock()
	f.seen[string(d.Payload)] = true
	f.mu.Unlock()
	d.Ack()
}

// OnError implements mqtt.Handler.
func (f *flow) OnError(err error) { // it connects again
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// trouble is the last error of a connection.
func (f *flow) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// count is how many messages were acknowledged.
func (f *flow) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked)
}

// missing are the messages that were acknowledged and have not arrived.
func (f *flow) missing() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for payload := range f.acked {
		if !f.seen[payload] {
			out = append(out, payload)
		}
	}
	return out
}

// end stops publishing; nothing is acknowledged any more.
func (f *flow) end() {
	f.stop()
	_ = f.from.Close() // which it may have had from the other side
	f.done.Wait()
}

// close ends both sides.
func (f *flow) close() {
	f.end()
	f.away()
}

// away ends the connection of the receiver: what is published from now on waits in its session, on the disk of the hub.
// subscribe brings it back.
func (f *flow) away() {
	if f.to != nil {
		_ = f.to.Close()
		f.to.Wait()
		f.to = nil
	}
}

// check ends publishing, and waits until all that was acknowledged has arrived.
func (f *flow) check(deadline time.Duration, when string) {
	f.m.Helper()
	f.end()
	end := time.Now().Add(deadline)
	for len(f.missing()) > 0 {
		if time.Now().After(end) {
			f.m.Fatalf("of %d messages, acknowledged %s, %d do not arrive: %s (%v; %+v)",
				f.count(), when, len(f.missing()), f.missing(), f.trouble(), f.to.Stats())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
