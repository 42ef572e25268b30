// Package conn serves the connections of the hub, and carries out what the core decides.
//
//	net.Conn ─► Serve: reader ─► Core.Receive ─┐                         ┌─► Send: writeNow, or a goroutine that writes
//	                   store.Write ─► Stored ──┼─► one lock ─► effects ──┼─► Close, Resume: the reader of the connection
//	             timer ─► Tick, store.Read ────┘                         └─► Batch, Load: the store
//
// An event is one call of Do: with the lock held it tells the core and takes the effects; without it, it carries them
// out. No event waits for a socket or the disk, but the batch of a publisher that is alone is written by the goroutine
// that has read it (see alone). The package promises:
//   - A connection has one goroutine, and a second one only while its socket does not take at once what is sent. One
//     that is idle has a small stack and, over plain TCP, no buffer.
//   - No writer waits for the lock behind other writers: one of them tells the core for all (see report).
//   - One goroutine at a time writes to a socket, and one to the store, in the order of the core.
//   - A timeout ends a connection on which no byte moves. A slow one takes as long as it needs.
//   - A slow reader delays its own end by at most finalFlush, and nobody else.
//   - While several users are there, the hub works for the connections of one of them at most half of the time (queue).
//   - Core.Closed is the last event of a connection; nothing of it runs afterwards.
package conn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
)

// Options of a Server. All must be set; package config has the defaults.
type Options struct {
	Log            log.Logger
	PacketMax      int           // bytes of a received packet
	ConnectTimeout time.Duration // from accepting a connection to its CONNECT; from there until its login is checked
	WriteTimeout   time.Duration // in which the socket takes no byte; then the connection is closed
	LoginDelay     time.Duration // longest delay of the answer to a refused login; 0: none
}

// Store is what a Server needs of the store.
type Store interface {
	// Write stores a batch, or nothing of it and returns an error. One goroutine at a time calls it.
	Write(b *record.Batch) error
	// Read returns stored messages of a session from a position on. Any goroutine may call it.
	Read(session, from uint64, messages, bytes int) (entries []record.Entry, next uint64, err error)
	// Room returns how many bytes messages may still take, where retained ones have so many. Any goroutine may call it.
	Room(retained int64) int64
}

// Server serves connections. Its methods may be called from any goroutine.
type Server struct {
	o        Options
	store    Store
	gate     *auth.Gate
	failures *auth.Failures
	refusals *auth.Refusals  // of the core
	delayed  atomic.Uint64   // see Logins
	dropped  atomic.Uint64   // see Logins
	epoch    time.Time       // when it was made
	closing  context.Context // ends at Close
	close    context.CancelFunc
	// batches has the batch that is to be written next, and at the end nil, which says that a reader has written the last
	// one. There is room for both: nobody waits.
	batches chan *core.Batch
	rearm   chan struct{} // one slot: armed has changed
	asked   atomic.Int64  // when the store was asked for its room, in ns
	// bytes of retained messages, those that are being stored included, as of the last event
	retained atomic.Int64

	mu      sync.Mutex // guards core, the fields below and those of connection that say so
	core    *core.Core
	now     time.Time     // of the last event
	open    int           // connections
	left    sync.Cond     // a connection or a read of the store has ended
	storing bool          // a batch is being written, or in batches
	ending  bool          // Run waits for the last batch
	ended   bool          // Run has ended: nothing is stored any more
	armed   time.Time     // when Tick is due; zero: not at all
	reading int           // reads of the store
	loads   []core.Load   // wait until one of them has ended
	written []*connection // which the core was told in this event
	// latest is the queue of the user for whom the hub works, or has last; switched is when that changed.
	latest   *queue
	switched time.Time

	queues sync.Map // a *queue for each user name, "" before the login

	reporting sync.Mutex    // guards reported; taken with or without mu
	reported  []*connection // have written what they were given; the core does not know yet
}

// New returns a server of a core that is loaded. users are those that the core has.
func New(o Options, k *core.Core, st Store, users *auth.Book) *Server {
	s := &Server{o: o, store: st, core: k, epoch: time.Now(),
		batches: make(chan *core.Batch, 2), rearm: make(chan struct{}, 1)}
	s.left.L = &s.mu
	s.gate, s.failures, s.refusals = auth.NewGate(users), auth.NewFailures(o.LoginDelay), k.Refusals()
	s.closing, s.close = context.WithCancel(context.Background())
	s.retained.Store(k.RetainedBytes())
	k.Room(st.Room(k.RetainedBytes()))
	return s
}

// moment is the time since the server was made. It takes a third of the memory of a time.Time.
func (s *Server) moment() time.Duration { return time.Since(s.epoch) }

// Do calls f, which tells the core what has happened, and carries out what the core decides. f must not wait.
func (s *Server) Do(f func(k *core.Core)) {
	s.lock()
	f(s.core)
	s.carry(s.unlock(0))
}

// Stats returns the core's numbers.
func (s *Server) Stats() core.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Stats()
}

// Usage returns what the core's accounts have.
func (s *Server) Usage() []core.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Usage()
}

// SetUsers replaces the principals, for logins and for the core.
func (s *Server) SetUsers(users *auth.Book) {
	s.gate.SetBook(users)
	s.Do(func(k *core.Core) { k.SetUsers(users) })
}

// Close ends all connections and waits for their end. New ones are refused.
func (s *Server) Close() {
	s.Do((*core.Core).Stop)
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open > 0 || s.reading > 0 {
		s.left.Wait()
	}
}
