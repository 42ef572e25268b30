//go:build linux

package hostile_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// pause is the time between two messages of the neighbour.
const pause = 20 * time.Millisecond

// neighbour is a client that behaves: it sends itself a message of QoS 1 every pause, over one connection.
type neighbour struct {
	*line
	mu    sync.Mutex
	sent  map[int]time.Time // those that have not come back
	next  int
	took  []time.Duration
	ended error
}

// times is how long messages took.
type times struct{ median, p99 time.Duration }

func meet(t *testing.T, h *hub) *neighbour {
	t.Helper()
	l, err := h.dial("good", "neighbour", true, nil)
	require.NoError(t, err)
	n := &neighbour{line: l, sent: map[int]time.Time{}}
	require.NoError(t, n.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "good/t", QOS: 1}}}))
	go n.read()
	return n
}

func (n *neighbour) read() {
	for {
		x, err := n.line.read()
		if err != nil {
			n.mu.Lock()
			n.ended = err
			n.mu.Unlock()
			return
		}
		p, ok := x.(*packet.Publish)
		if !ok {
			continue
		}
		_ = n.send(&packet.Puback{ID: p.ID})
		number, _, _ := strings.Cut(string(p.Message.Payload), " ")
		i, _ := strconv.Atoi(number)
		n.mu.Lock()
		if at, ok := n.sent[i]; ok {
			n.took = append(n.took, time.Since(at))
			delete(n.sent, i)
		}
		n.mu.Unlock()
	}
}

// during sends messages while something happens for d, and tells how long they took.
func (n *neighbour) during(t *testing.T, d time.Duration, what func(ctx context.Context)) times {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); what(ctx) }()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			n.publish(t)
		case <-ctx.Done():
		}
	}
	<-ended
	n.all(t)
	n.mu.Lock()
	defer n.mu.Unlock()
	took := n.took
	n.took = nil
	require.NotEmpty(t, took)
	slices.Sort(took)
	return times{took[len(took)/2], took[len(took)*99/100]}
}

func (n *neighbour) publish(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	n.next++
	i := n.next
	n.sent[i] = time.Now()
	n.mu.Unlock()
	payload := strconv.Itoa(i) + " " + strings.Repeat("x", 100)
	require.NoError(t, n.send(&packet.Publish{
		ID:      packet.ID(2 + i%60000),
		Message: packet.Message{Topic: "good/t", QOS: 1, Payload: []byte(payload)},
	}), "the neighbour's connection")
}

// all waits until every message has come.
func (n *neighbour) all(t *testing.T) {
	t.Helper()
	mqtttest.Until(t, "all messages of the neighbour", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		require.NoError(t, n.ended, "the neighbour's connection has ended")
		return len(n.sent) == 0
	})
}

func (n *neighbour) leave(t *testing.T) {
	t.Helper()
	require.NoError(t, n.send(&packet.Disconnect{}))
	n.close()
}
