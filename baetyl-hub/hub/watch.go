package hub

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// Messages, and bytes of their payloads and topics, that wait for one who watches. What comes when there are so many is
// left out, and counted.
const (
	watchQueue = 1000
	watchBytes = 4 << 20
)

// watch implements core.Watch: a queue between the hub, which does not wait, and a person, who may be slow.
//
//	core ──Take──► list, bounded ──take──► Send, which waits
//	     ──Missed► missed
type watch struct {
	filter string
	some   chan struct{} // one slot: list is not empty

	mu     sync.Mutex // guards what follows
	list   []hubapi.Message
	bytes  int
	missed uint64 // behind the newest of list: while it is full, and it is taken as a whole
}

func newWatch(filter string) *watch { return &watch{filter: filter, some: make(chan struct{}, 1)} }

// Filter implements core.Watch.
func (w *watch) Filter() string { return w.filter }

// Full implements core.Watch.
func (w *watch) Full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list) >= watchQueue || w.bytes >= watchBytes
}

// Take implements core.Watch.
func (w *watch) Take(s core.Seen) {
	m := messageOf(s.Topic, s.Payload, s.QOS)
	m.Time, m.Retain, m.Client, m.User = time.Now().UTC(), s.Retain, s.Client, s.User
	w.mu.Lock()
	w.list = append(w.list, m)
	w.bytes += len(m.Topic) + len(m.Payload) + len(m.Base64)
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

// Missed implements core.Watch.
func (w *watch) Missed(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed += uint64(n)
}

// take returns what waits, and at its end how many were left out.
func (w *watch) take() []hubapi.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	if w.missed > 0 {
		list = append(list, hubapi.Message{Missed: w.missed})
	}
	w.list, w.bytes, w.missed = nil, 0, 0
	return list
}

// messageOf is a message in the form of the interface, which keeps the payload.
func messageOf(name string, payload []byte, qos packet.QOS) hubapi.Message {
	m := hubapi.Message{Topic: name, Size: len(payload), QOS: int(qos)}
	if m.Cut = len(payload) > hubapi.MostPayload; !m.Cut {
		m.Payload, m.Base64 = admin.PayloadOf(payload)
	}
	return m
}

// keptPortion is how many retained messages are read at a time.
const keptPortion = 64

// Watch implements admin.Watches.
func (d desk) Watch(ctx context.Context, filter string, kept bool, begun func(),
	send func(*hubapi.Message) error) error {
	limits := d.h.cfg.Limits()
	if err := limits.CheckFilter(filter); err != nil {
		return fmt.Errorf("%w: %w", core.ErrInvalid, err)
	}
	w := newWatch(filter)
	d.h.server.Do(func(k *core.Core) { k.Watch(w) })
	defer d.h.server.Do(func(k *core.Core) { k.Unwatch(w) })
	begun()
	if kept {
		if err := d.kept(ctx, filter, send); err != nil {
			return err
		}
	}
	for {
		select {
		case <-w.some:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		list := w.take()
		for i := range list {
			if err := send(&list[i]); err != nil {
				return err
			}
		}
	}
}

// kept sends the retained messages that a filter matches.
func (d desk) kept(ctx context.Context, filter string, send func(*hubapi.Message) error) error {
	var topics []string
	d.h.server.Inspect(func(k *core.Core, pause func()) { topics = k.RetainedTopics(filter, pause) })
	for len(topics) > 0 && ctx.Err() == nil {
		n := min(len(topics), keptPortion)
		var list []core.Kept
		d.h.server.Inspect(func(k *core.Core, _ func()) { list = k.RetainedMessages(topics[:n]) })
		topics = topics[n:]
		for _, x := range list {
			m := messageOf(x.Topic, x.Payload, x.QOS)
			m.Time, m.Retain, m.Kept, m.User = x.At, true, true, x.Owner
			if err := send(&m); err != nil {
				return err
			}
		}
	}
	return nil
}
