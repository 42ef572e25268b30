// Package router decides who gets a message and sees that it is safe before it is acknowledged.
//
//	        Route: one topic tree and the static routes; kept by the publisher while it is Fresh
//	          │
//	session ──┴─ Publish(p) ──┬─ nothing to store ──────────────────────────────────► p.Done ─► Subscribers
//	                          └─ Batch ─Flush─► store: p.Write ─► p.Committed ──────► p.Done ─► Subscribers
//	        ──── Route.Forward: QoS 0 packets as they came ───────────────────────────────────► Subscribers
//
// Whom it delivers to notes his connection in a Batch, too; Flush wakes it. It promises that a message is matched
// once, not once per session; that a session gets one copy of it however many of its filters match; that Done(nil)
// means on stable storage for everyone whose session outlives its connection; and that messages of one publisher keep
// their order. It knows sessions only as Subscribers, and nothing of connections, users or packets on a wire.
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
	// Number identifies a session that outlives its connection; 0 for one that doesn't, which is never stored for.
	Number() uint64
	// Reserve returns the next position in the session's queue; ok is false if the queue is full or the session gone:
	// then nothing is stored for it. It is called by the store's goroutine alone, for numbered sessions.
	Reserve() (position uint64, ok bool)
	// SendNow sends n encoded QoS 0 PUBLISH packets if the session is connected, else drops them. The bytes are the
	// caller's again afterwards. The result is the connection if its buffer is more than half full, else nil.
	SendNow(frames []byte, n int, batch *Batch) Congested
	// Enqueue appends a message of QoS 1 or 2. Entries of a numbered session come in the order of their positions.
	Enqueue(e Entry, batch *Batch)
}

// Entry is one message in the queue of a session.
type Entry struct {
	Message  *packet.Message // shared by all its receivers, never changed; nil: the position stays empty, Seq is released
	Seq      uint64          // number in the store; 0: not stored
	Position uint64          // as reserved; 0 for sessions without number
	QOS      packet.QOS      // of the delivery
	Retained bool            // sent with the retain flag
}

// Batch gathers what the packets of one read, or the messages of one batch, cause: ops for the store, which so come
// into one batch, and connections that have something to write, which so are woken once for many messages.
type Batch struct {
	store Store
	ops   []store.Op
	list  []Writer
	// Full is set when all the receivers of messages that were passed on have their buffers more than half full: who
	// floods them waits for one of them, since what he sends would only be dropped.
	Full Congested
}

// Writer is a connection that has something to write. It must not wait for the socket in Wake; alone says that few
// others are woken with it, so that a goroutine for its write would cost more time than it saves.
type Writer interface{ Wake(alone bool) }

// few is how many connections are woken with alone set, at most.
const few = 2

// Congested is a connection that has much to write.
type Congested interface{ Drain() }

// NewBatch returns a batch that gives its ops to st.
func NewBatch(st Store) Batch { return Batch{store: st} }

// Later notes an op for the store.
func (b *Batch) Later(op store.Op) { b.ops = append(b.ops, op) }

// Add notes a connection; it says itself when it was noted already.
func (b *Batch) Add(c Writer) { b.list = append(b.list, c) }

// Flush gives the ops to the store and wakes the connections. Nobody may wait for either before Flush.
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
	SourceQOS packet.QOS // the highest with which messages are taken, 0 or 1
	Target    string     // topic
	TargetQOS packet.QOS // the highest with which they are passed on
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
	retentions uint64 // how often a message was retained: the number of the newest

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

// group is a shared subscription. It is a value: a Route that was handed out keeps its own.
type group struct {
	subs []Sub
	next *atomic.Uint32 // whose it is; one counter as long as the group has members
}

// New returns a router without subscriptions.
func New(st Store) *Router { return &Router{batch: NewBatch(st)} }

// Stats returns the counters.
func (r *Router) Stats() *Stats { return &r.stats }

// SetStatic replaces the static routes. They must not form a cycle: see config.
func (r *Router) SetStatic(routes []StaticRoute) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.static = routes
	r.version.Add(1)
}

// Flush wakes the connections that stored messages were delivered to. The store calls it after each batch.
func (r *Router) Flush() { r.batch.Flush() }

// StoreBatch is the batch for what happens on the store's goroutine.
func (r *Router) StoreBatch() *Batch { return &r.batch }

// Subscription is a filter with its quality of service. Filter may be shared: $share/<group>/<filter>.
type Subscription struct {
	Filter string
	QOS    packet.QOS
}

// Subscribe adds or replaces subscriptions of s. before is called at a moment when none of them can have brought a
// message yet and after which none is missed; it must not block. The result is for SendRetained.
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
		// Copied, never changed in place: a Route that was handed out still reads the old slice.
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

// without returns a copy of list, with room for one more, that lacks s.
func without(list []Sub, s Subscriber) []Sub {
	out := make([]Sub, 0, len(list)+1)
	for _, x := range list {
		if x.Subscriber != s {
			out = append(out, x)
		}
	}
	return out
}
