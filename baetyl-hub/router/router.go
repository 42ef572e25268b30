// Package router decides who gets a message and sees that it is safe before it is acknowledged.
//
//	        Route: the result of a topic match; the publisher keeps it while it is Fresh
//	          │
//	session ──┴─ Publish(p) ──┬─ nothing to store ───────────────────────────► p.Done ─► Subscribers
//	                          └─ Batch ─Flush─► store: p.Write, p.Committed ─► p.Done ─► Subscribers
//	session ──── Route.Forward: QoS 0 packets as they were read ───────────────────────► Subscribers
//
// A Subscriber that has something to send adds its connection to the same Batch; Flush then tells the connection to
// write. The router promises:
//   - It matches a message once, not once per session.
//   - A session gets one copy of a message, however many of its filters match.
//   - Done(nil) means that the message is stored for each matching session that outlives its connection (on stable
//     storage with sync: always).
//   - Messages of one publisher keep their order.
//
// It knows sessions only as Subscribers, and nothing of connections, users or the bytes of a packet.
package router

import (
	"sync"
	"sync/atomic"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
)

// Subscriber is a session as the router sees it. No method may block.
type Subscriber interface {
	// Number identifies a session that outlives its connection. It is 0 for one that does not: nothing is stored for it.
	Number() uint64
	// Reserve returns the next position in the session's queue. If the queue is full or the session is discarded, ok is
	// false and nothing is stored for the session. Only the store's goroutine calls it, and only for numbered sessions.
	Reserve() (position uint64, ok bool)
	// SendNow sends n encoded QoS 0 PUBLISH packets if the session is connected, else drops them. It does not keep the
	// bytes. The result is the connection if its write queue is more than half full, else nil.
	SendNow(frames []byte, n int, batch *Batch) Congested
	// Enqueue appends a message of QoS 1 or 2. Entries of a numbered session come in the order of their positions.
	Enqueue(e Entry, batch *Batch)
}

// Entry is one message in the queue of a session.
type Entry struct {
	Message  *packet.Message // shared by all receivers, never changed; nil: the position stays empty, Seq is released
	Seq      uint64          // number in the store; 0: not stored
	Position uint64          // as reserved; 0 for sessions without number
	QOS      packet.QOS      // of the delivery
	Retained bool            // sent with the retain flag
}

// Batch collects the effects of the packets of one read, or of one batch of the store: ops for the store, so that it
// writes them together, and connections that have something to write, so that each writes once for many messages.
// It belongs to one goroutine.
type Batch struct {
	store Store
	ops   []store.Op
	list  []Writer
	// Full is set by Route.Forward when the write queues of all receivers are more than half full. The publisher should
	// then wait for Full.Drain: the hub would only drop what it sends.
	Full Congested
}

// Writer is a connection that has something to write. Wake must not wait for the socket. If alone is set, only a few
// connections write now, and starting a goroutine for the write costs more time than it saves.
type Writer interface{ Wake(alone bool) }

// few is the largest number of connections that Flush wakes with alone set.
const few = 2

// Congested is a connection whose write queue is more than half full. Drain waits until it is empty, with a time limit.
type Congested interface{ Drain() }

// NewBatch returns a batch that gives its ops to st.
func NewBatch(st Store) Batch { return Batch{store: st} }

// Later adds an op for the store.
func (b *Batch) Later(op store.Op) { b.ops = append(b.ops, op) }

// Add adds a connection. The connection itself makes sure that it is in one batch at a time.
func (b *Batch) Add(c Writer) { b.list = append(b.list, c) }

// Flush gives the ops to the store and wakes the connections. Call it before you wait for either of them.
func (b *Batch) Flush() {
	if len(b.ops) > 0 {
		if !b.store.Append(b.ops...) {
			for _, op := range b.ops {
				op.Committed(store.ErrClosed)
			}
		}
		clear(b.ops)
		b.ops = b.ops[:0]
	}
	alone := len(b.list) <= few
	for i, c := range b.list {
		c.Wake(alone)
		b.list[i] = nil
	}
	b.list = b.list[:0]
}

// Store is what the router needs of the store.
type Store interface{ Append(ops ...store.Op) bool }

// StaticRoute copies the messages of a source filter to a target topic (`subscriptions` of the configuration).
type StaticRoute struct {
	Source    string     // filter
	SourceQOS packet.QOS // 0 or 1; 0: all copies have QoS 0
	Target    string     // topic
	TargetQOS packet.QOS // 0 or 1; of copies of messages with QoS 1 or 2
}

// Router may be used from any goroutine.
type Router struct {
	batch Batch // of the store's goroutine

	mu      sync.RWMutex // guards subs and static; held while subs change, also for the moment of SUBACK
	subs    topic.Tree[branch]
	static  []StaticRoute
	version atomic.Uint64 // counts changes of subs and static

	retainedMu sync.RWMutex // guards retained and retentions; never held together with mu
	retained   topic.Tree[kept]
	retentions uint64 // number of the newest retained message

	stats Stats
}

// Stats counts since the start.
type Stats struct {
	Retained      atomic.Int64  // retained messages now
	Subscriptions atomic.Int64  // now
	Refused       atomic.Uint64 // publications that could not be stored
}

// branch is what the tree holds at one filter.
type branch struct {
	subs   []Sub
	groups map[string]group // shared subscriptions, by name of the group
}

// Sub is a subscriber with the quality of service that it asked for.
type Sub struct {
	Subscriber
	QOS packet.QOS
}

// group is a shared subscription. It is a value: a Route keeps its own copy.
type group struct {
	subs []Sub
	next *atomic.Uint32 // counts messages; selects the member that gets the next one
}

// New returns a router without subscriptions.
func New(st Store) *Router { return &Router{batch: NewBatch(st)} }

// Stats returns the counters.
func (r *Router) Stats() *Stats { return &r.stats }

// SetStatic replaces the static routes. They must not form a cycle; package config checks that.
func (r *Router) SetStatic(routes []StaticRoute) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.static = routes
	r.version.Add(1)
}

// Flush flushes StoreBatch. The store calls it after each of its batches, on its goroutine.
func (r *Router) Flush() { r.batch.Flush() }

// StoreBatch is the batch of the store's goroutine. Only store.Op methods may use it.
func (r *Router) StoreBatch() *Batch { return &r.batch }

// Subscription is a filter with its quality of service. Filter may be shared: $share/<group>/<filter>.
type Subscription struct {
	Filter string
	QOS    packet.QOS
}

// Subscribe adds or replaces subscriptions of s. It calls before when no message of a new subscription has been sent
// yet; every message that is published afterwards reaches s. before must not block. The result is for SendRetained.
func (r *Router) Subscribe(s Subscriber, list []Subscription, before func()) (since uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before()
	for _, x := range list {
		name, filter, _, _ := topic.Share(x.Filter)
		b := r.subs.Put(filter)
		into, g := &b.subs, b.groups[name]
		if name != "" {
			if b.groups == nil {
				b.groups = map[string]group{}
			}
			if g.next == nil {
				g.next = new(atomic.Uint32)
			}
			into = &g.subs
		}
		// Copied, never changed in place: a Route in use still reads the old slice.
		next := without(*into, s)
		if len(next) == len(*into) {
			r.stats.Subscriptions.Add(1)
		}
		*into = append(next, Sub{s, x.QOS})
		if name != "" {
			b.groups[name] = g
		}
	}
	return r.version.Add(1)
}

// Unsubscribe removes subscriptions of s; unknown filters are ignored.
func (r *Router) Unsubscribe(s Subscriber, filters []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range filters {
		name, filter, _, _ := topic.Share(f)
		b := r.subs.Get(filter)
		if b == nil {
			continue
		}
		from, g := &b.subs, b.groups[name]
		if name != "" {
			from = &g.subs
		}
		next := without(*from, s)
		if len(next) < len(*from) {
			r.stats.Subscriptions.Add(-1)
		}
		*from = next
		switch {
		case name == "":
		case len(next) == 0:
			delete(b.groups, name)
		default:
			b.groups[name] = g
		}
		if len(b.subs) == 0 && len(b.groups) == 0 {
			r.subs.Delete(filter)
		}
	}
	r.version.Add(1)
}

// without returns a copy of list without s, with room for one more.
func without(list []Sub, s Subscriber) []Sub {
	out := make([]Sub, 0, len(list)+1)
	for _, x := range list {
		if x.Subscriber != s {
			out = append(out, x)
		}
	}
	return out
}
