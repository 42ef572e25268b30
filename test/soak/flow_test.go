//go:build linux

package soak_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// flow is numbered messages to a topic, from one publisher.
type flow struct {
	peer   *mqtttest.Peer
	topic  string
	qos    packet.QOS
	rate   int                     // a second
	format func(number int) []byte // of a payload
	mu     sync.Mutex
	sent   int
	acked  int
}

// run publishes until ctx ends, and returns when all is acknowledged.
func (f *flow) run(ctx context.Context) error {
	f.peer.OnAck = func(*packet.Message) {
		f.mu.Lock()
		f.acked++
		f.mu.Unlock()
	}
	connected, leave := context.WithCancel(context.Background())
	visit := make(chan error, 1)
	go func() { visit <- f.peer.Visit(connected) }()
	tick := time.NewTicker(time.Second / time.Duration(f.rate))
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		f.sent++
		m := packet.Message{Topic: f.topic, QOS: f.qos, Payload: f.format(f.sent)}
		if f.peer.Publish(ctx, m) != nil {
			f.sent-- // the end came while the window was full
		}
	}
	for end := time.Now().Add(time.Minute); f.count() < f.sent && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	leave()
	if err := <-visit; err != nil {
		return fmt.Errorf("%s: %w", f.topic, err)
	}
	if n := f.count(); n < f.sent {
		return fmt.Errorf("%s: of %d messages %d are acknowledged", f.topic, f.sent, n)
	}
	return nil
}

// count is how many messages were acknowledged.
func (f *flow) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked
}

// reader has a session that must get every message of its flows, in their order.
type reader struct {
	mqtttest.Numbered
	peer  *mqtttest.Peer
	flows []*flow
}

// missing names a flow of which not all has come; "": none.
func (r *reader) missing() string {
	for _, f := range r.flows {
		topic := strings.Replace(f.topic, "route/in", "route/out", 1)
		if got, want := r.Newest(topic), f.count(); got < want {
			return fmt.Sprintf("%s: %s: has %d of %d", r.peer.ID, topic, got, want)
		}
	}
	return ""
}

// visit connects for a while.
func (r *reader) visit(ctx context.Context, d time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	return r.peer.Visit(ctx)
}
