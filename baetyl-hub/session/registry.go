// Package session implements MQTT 3.1.1: the connections, and the sessions that outlive them.
//
//	net.Conn ─► Serve: reader ─► client ──────────Publish──────────► router ─► store
//	   ▲                           │                                    │
//	   │                           ├─ receipt: PUBACK, PUBREC ◄── Done ─┤ (stored)
//	   │                           ▼                                    │
//	   └── writer goroutine ◄─ writeQueue ◄─── QoS 0: SendNow ──────────┤
//	                               ▲                                    │
//	                               └─ pump ◄─ Session.q ◄── Enqueue ────┘
//
// One goroutine reads a connection and handles its packets. A second one writes; it runs only while the write queue
// has something that the socket does not take at once. No other goroutine waits for a socket. The package promises:
//   - PUBACK, PUBREC and PUBCOMP are sent after the store has the message or the state, to the connection that asked.
//   - A session has one connection at a time. A new connection waits until the old one has released the session.
//   - A slow reader loses QoS 0 messages (counted). Its QoS 1 and 2 messages wait in the queue of the session.
//
// Locks, outer first: Registry.mu, router, Session.mu, writeQueue.mu, store.
package session

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
	"github.com/baetyl/baetyl/utils/log"
)

// Options of a Registry. All must be set; package config has the defaults.
type Options struct {
	Log              log.Logger
	Topic            topic.Limits
	ClientIDMax      int           // characters
	PacketMax        int           // bytes of a received packet
	ConnectTimeout   time.Duration // from accepting a connection to its CONNECT
	WriteTimeout     time.Duration // of one write; then the connection is closed
	ConnectionsMax   int           // those before CONNECT included
	SubscriptionsMax int           // per session
	Ingress          int           // messages per client that are received and not yet stored
	EgressQOS0       int           // QoS 0 messages per client that wait to be written; more are dropped
	EgressBytes      int           // the same in bytes
	Window           int           // messages per client that are sent and not yet acknowledged
	QueueMax         int           // QoS 1 and 2 messages per session that wait; more are dropped, counted
	FetchMax         int           // messages fetched at a time from the store for a session that catches up
	Retry            time.Duration // after which an unacknowledged message is sent again; 0: only after a reconnect
	WillDelay        time.Duration // after the start until wills of clients that have not come back are published
}

var idCharacters = regexp.MustCompile(`^[0-9A-Za-z_-]*$`)

func (o *Options) clientID(id string) bool {
	return len(id) <= o.ClientIDMax && idCharacters.MatchString(id)
}

func (o *Options) writeLimits() writeLimits {
	// hard: besides the bytes that QoS 0 may fill, room for a full window and for the answers to the client. It may be
	// more than an int of 32 bits holds.
	hard := uint64(o.EgressBytes) + uint64(o.Window+1)*uint64(o.PacketMax) + 1<<20
	return writeLimits{
		messages: o.EgressQOS0,
		bytes:    o.EgressBytes,
		hard:     int(min(hard, math.MaxInt)),
	}
}

// Store is what sessions need of the store.
type Store interface {
	router.Store
	// Messages returns the stored messages of the given numbers, which must rise; nil for one that is gone.
	Messages(seqs []uint64) ([]*packet.Message, error)
}

// Stats counts since the start.
type Stats struct {
	Connections atomic.Int64  // now
	Received    atomic.Uint64 // PUBLISH packets from clients
	Sent        atomic.Uint64 // PUBLISH packets of QoS 1 and 2 to clients
	Passed      atomic.Uint64 // PUBLISH packets of QoS 0 to clients, dropped ones included
	Repeated    atomic.Uint64 // of Sent, repetitions after Options.Retry
	Dropped     atomic.Uint64 // QoS 0 messages that a slow reader did not get
	QueueFull   atomic.Uint64 // QoS 1 and 2 messages dropped at Options.QueueMax
	Expired     atomic.Uint64 // queued messages that retention had removed
	Refused     atomic.Uint64 // logins
	Forbidden   atomic.Uint64 // publications and subscriptions without permission
	Rejected    atomic.Uint64 // connections over Options.ConnectionsMax
}

// Registry holds the sessions and connections of a hub. Its methods may be called from any goroutine.
type Registry struct {
	o      Options
	store  Store
	router *router.Router
	batch  *router.Batch // of the store's goroutine
	users  atomic.Pointer[auth.Book]
	stats  Stats
	tasks  sync.WaitGroup // goroutines that fetch messages

	mu        sync.Mutex // guards the fields below and Session.holder
	sessions  map[string]*Session
	clients   map[*client]struct{}
	wills     map[string]packet.Message // of clients that were connected when the hub ended last time
	number    uint64                    // of the newest durable session
	anonymous uint64                    // clients without id so far
	closed    bool
	left      sync.Cond // a client left
}

// New returns a registry without sessions.
func New(o Options, st Store, r *router.Router, users *auth.Book) *Registry {
	g := &Registry{
		o:        o,
		store:    st,
		router:   r,
		batch:    r.StoreBatch(),
		sessions: map[string]*Session{},
		clients:  map[*client]struct{}{},
		wills:    map[string]packet.Message{},
	}
	g.users.Store(users)
	g.left.L = &g.mu
	return g
}

// Stats returns the counters.
func (g *Registry) Stats() *Stats { return &g.stats }

// SetUsers replaces the principals. It closes the connections of users that are removed or changed, and deactivates
// subscriptions that a user may no longer have.
func (g *Registry) SetUsers(users *auth.Book) {
	g.users.Store(users)
	var kicked []*client
	g.mu.Lock()
	for c := range g.clients {
		// A connection that is still being admitted has no user here yet; admit compares it later.
		if u := c.admitted.Load(); u != nil && !u.Equal(users.User(u.Name)) {
			c.kick()
			kicked = append(kicked, c)
		}
	}
	g.mu.Unlock()
	for _, c := range kicked {
		<-c.done // until then it could still subscribe under the old rules
	}
	g.mu.Lock()
	sessions := make([]*Session, 0, len(g.sessions))
	for _, s := range g.sessions {
		sessions = append(sessions, s)
	}
	g.mu.Unlock()
	for _, s := range sessions {
		s.deactivate(users.User(s.user))
	}
}

// deactivate removes from the router the subscriptions that the user may not have; user is nil if there is no such
// user. When the client connects again, recheck removes them for good or makes them active.
func (s *Session) deactivate(user *auth.User) {
	var gone []string
	s.mu.Lock()
	for f := range s.subs {
		if _, filter, _, _ := topic.Share(f); user == nil || !user.MaySubscribe(filter) {
			gone = append(gone, f)
		}
	}
	s.inactive = s.inactive || len(gone) > 0
	s.mu.Unlock()
	if len(gone) > 0 {
		s.g.router.Unsubscribe(s, gone)
	}
}

// Sessions returns the number of sessions, connected or not.
func (g *Registry) Sessions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

func (g *Registry) enter(c *client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.clients) >= g.o.ConnectionsMax {
		g.stats.Rejected.Add(1)
		return false
	}
	g.clients[c] = struct{}{}
	g.stats.Connections.Add(1)
	return true
}

func (g *Registry) leave(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, c)
	g.stats.Connections.Add(-1)
	g.left.Broadcast()
}

func (g *Registry) stopping() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Close closes all connections and waits until their sessions are released. Wills stay in the store for the next
// start. New connections are refused.
func (g *Registry) Close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.clients {
		c.kick()
	}
	for len(g.clients) > 0 {
		g.left.Wait()
	}
	g.mu.Unlock()
	g.tasks.Wait()
}

// take gives c the session of its client id. If another connection holds the session, take closes that one and waits
// for its end. If several connections wait, one gets the session, and the next one closes it again. [MQTT-3.1.4-2]
func (g *Registry) take(c *client, id string, clean bool) (s *Session, present bool, err error) {
	for {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			return nil, false, connectFault{packet.ServerUnavailable, "hub is stopping"}
		}
		old := g.sessions[id]
		if id == "" {
			old = nil
		}
		if old == nil || old.holder == nil && old.user == c.user.Name && !clean {
			break
		}
		if old.user != c.user.Name && (old.holder != nil || g.users.Load().User(old.user) != nil) {
			g.mu.Unlock()
			return nil, false, connectFault{packet.IdentifierRejected, "client id belongs to another user"}
		}
		if holder := old.holder; holder != nil {
			g.mu.Unlock()
			holder.kick()
			<-holder.done
			continue
		}
		// A clean session, or the old user is no longer in the configuration: discard the old state. [MQTT-3.1.2-6]
		old.holder = c
		g.mu.Unlock()
		err := g.discard(old)
		g.mu.Lock()
		if err == nil {
			delete(g.sessions, id)
		}
		old.holder = nil
		g.mu.Unlock()
		if err != nil {
			return nil, false, connectFault{packet.ServerUnavailable, err.Error()}
		}
	}
	defer g.mu.Unlock()
	_, c.staleWill = g.wills[id]
	delete(g.wills, id) // the client is back: its will from before the restart is not published
	if s = g.sessions[id]; s != nil && id != "" {
		s.holder = c
		return s, true, nil
	}
	s = &Session{g: g, id: id, user: c.user.Name, holder: c, subs: map[string]packet.QOS{}}
	if id == "" {
		g.anonymous++
		s.id = fmt.Sprintf("$%d", g.anonymous) // no client id starts with $
	} else if !clean {
		g.number++
		s.number = g.number
	}
	g.sessions[s.id] = s
	return s, false, nil
}

// release ends the hold of a connection on its session; a transient session ends with it.
func (g *Registry) release(c *client) {
	s := c.s
	s.mu.Lock()
	s.q.rewind()
	filters := make([]string, 0, len(s.subs))
	for f := range s.subs {
		filters = append(filters, f)
	}
	if s.number == 0 {
		s.dead = true
		s.q = queue{}
	}
	s.mu.Unlock()
	if s.number == 0 {
		g.router.Unsubscribe(s, filters)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.holder = nil
	if s.number == 0 {
		delete(g.sessions, s.id)
	}
}

// discard removes a durable session from router and store. The caller holds the session.
func (g *Registry) discard(s *Session) error {
	s.mu.Lock()
	filters := make([]string, 0, len(s.subs))
	for f := range s.subs {
		filters = append(filters, f)
	}
	s.mu.Unlock()
	var was queue
	var freed []uint64
	err := g.await(&change{write: func(tx *store.Tx) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for p := s.q.head; p < s.q.tail; p++ {
			if seq := s.q.at(p).seq; seq != 0 {
				tx.Release(seq)
			}
		}
		for _, seq := range s.freed {
			tx.Release(seq)
		}
		tx.DeleteSession(s.number, filters, slices.Collect(maps.Keys(s.inbound)))
		// Messages that were routed to the session before and are written from now on find it dead and are freed.
		was, freed = s.q, s.freed
		s.dead, s.q, s.freed = true, queue{}, nil
		return nil
	}, failed: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.dead {
			s.dead, s.q, s.freed = false, was, append(freed, s.freed...)
		}
	}})
	if err == nil {
		g.router.Unsubscribe(s, filters)
	}
	return err
}

// commit runs write on the store's goroutine and waits until the result is stored. If need is false it does nothing.
func (g *Registry) commit(write func(*store.Tx) error, need bool) error {
	if !need {
		return nil
	}
	return g.await(&change{write: write})
}

func (g *Registry) await(x *change) error {
	x.done = make(chan error, 1)
	if !g.store.Append(x) {
		return store.ErrClosed
	}
	return <-x.done
}

// change is an op that a connection waits for.
type change struct {
	write  func(*store.Tx) error
	failed func()     // undoes what write did in memory; may be nil
	done   chan error // buffered: Committed never blocks
}

// Write implements store.Op.
func (x *change) Write(tx *store.Tx) error { return x.write(tx) }

// Committed implements store.Op.
func (x *change) Committed(err error) {
	if err != nil && x.failed != nil {
		x.failed()
	}
	x.done <- err
}
