// Package core decides what the hub does: who gets a message, when it is safe, what a session still has to get. It
// takes events and returns effects, and has no socket, disk, clock, lock or goroutine of its own.
//
//	            events                                    effects
//	Open, Connect, Receive, Written, Closed ──►┌──────┐──► Send, Close, Resume   carried out by package conn
//	Stored, Read, Room ───────────────────────►│ Core │──► Batch, Load           carried out by the store
//	At, Tick, SetUsers, SetRoutes, Stop ──────►│      │
//	Kick, DeleteSession, DeleteRetained, … ───►└──────┘──► answers of Clients, Sessions, …, which change nothing
//
// The way of one QoS 1 message through it:
//
//	Receive ─► publish: permitted? route ─► Batch: record, positions of the sessions that need it
//	Stored  ─► PUBACK to the publisher ─► queue of each session ─► pump: PUBLISH as the window allows
//	Receive ─► acknowledge: head of the queue moves on ─► Batch: cursor of the session
//
// The package promises:
//   - PUBACK, PUBREC, PUBCOMP, SUBACK and CONNACK follow when what they acknowledge is stored.
//   - Messages of one publisher keep their order.
//   - A session gets one copy of a message, however many of its filters match.
//   - A session has one connection at a time; a new one takes it over.
//   - What clients make it hold is counted in accounts (package budget) before it is there, and bounded: see usage.
//   - A slow reader loses QoS 0 messages (counted). Its QoS 1 and 2 messages wait on the disk.
//
// Methods of Core are not safe for concurrent use: package conn calls them under one lock.
package core

import (
	"errors"
	"math"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

// Options of a Core. All but limits must be set; package config has the defaults.
type Options struct {
	Log              log.Logger
	Topic            topic.Limits
	ClientIDMax      int           // characters
	ClientIDStrict   bool          // client ids have only 0-9 A-Z a-z _ -
	PacketMax        int           // bytes of a received packet
	ConnectionsMax   int           // those before CONNECT included
	SubscriptionsMax int           // per session
	ClientRate       budget.Rate   // at which one connection may publish
	PrincipalRate    budget.Rate   // at which all of one principal may, if it has no rate of its own
	Ingress          int           // messages per client that are received and not yet stored
	EgressQOS0       int           // QoS 0 messages per client that wait to be written; more are dropped
	EgressBytes      int           // the same in bytes
	Window           int           // messages per client that are sent and not yet acknowledged
	Hub              budget.Values // limits of all clients together; 0: none
	Principal        budget.Values // of each principal that has no others
	Client           budget.Values // of each client: Memory and Disk
	QueueMax         int           // QoS 1 and 2 messages per session that wait; more are dropped, counted
	FetchMax         int           // messages read at a time from the store for a session that catches up
	Retention        time.Duration // of QoS 1 and 2 messages: older ones are not sent any more; 0: no limit
	SessionExpiry    time.Duration // for which nobody uses a kept session until it is removed; 0: never
	Retry            time.Duration // after which an unacknowledged message is sent again; 0: only after a reconnect
	WillDelay        time.Duration // after the start until wills of clients that have not come back are published
}

// hardLimit is the number of bytes that may wait to be written to one connection: besides those that QoS 0 may fill,
// room for a full window and for the answers to the client. More close the connection.
func (o *Options) hardLimit() int {
	n := uint64(o.EgressBytes) + uint64(o.Window+1)*uint64(o.PacketMax) + 1<<20
	return int(min(n, math.MaxInt)) // it may be more than an int of 32 bits holds
}

// Stats are numbers since the start, or of now.
type Stats struct {
	Connections   int    // now
	Sessions      int    // now, connected or not
	Removed       uint64 // sessions that nobody had used for Options.SessionExpiry
	Subscriptions int    // now
	Retained      int    // retained messages now
	Received      uint64 // PUBLISH packets from clients
	Sent          uint64 // PUBLISH packets of QoS 1 and 2 to clients
	Passed        uint64 // PUBLISH packets of QoS 0 to clients, dropped ones included
	Repeated      uint64 // of Sent, repetitions after Options.Retry
	Dropped       uint64 // QoS 0 messages that a slow reader did not get
	OverBudget    uint64 // QoS 1 and 2 messages dropped for want of memory or disk: see Options.Principal
	TakenOver     uint64 // connections that ended since another one has taken the session over
	KeepAlive     uint64 // connections that ended since their client sent nothing
	Slow          uint64 // connections that ended since their client took nothing, or too little
	RateDropped   uint64 // QoS 0 messages over a publish rate
	Slowed        uint64 // others that had to wait for one
	QueueFull     uint64 // QoS 1 and 2 messages dropped at Options.QueueMax
	Expired       uint64 // QoS 1 and 2 messages that waited in memory for longer than Options.Retention
	Refused       uint64 // logins
	RefusedIDs    uint64 // CONNECTs because of their client id
	Forbidden     uint64 // publications, wills and subscriptions without permission
	Rejected      uint64 // connections over Options.ConnectionsMax
	Crowded       uint64 // connections whose CONNECT had no room in memory: see Expect
	Unchecked     int64  // bytes of memory that connections have now whose login is not over
	Unstored      uint64 // publications that could not be stored
	Full          uint64 // of those, because the store is full
}

// ErrFull refuses a message because no room is left for it.
var ErrFull = errors.New("the store is full (storage.max, storage.free)")

// Core holds the sessions, connections, subscriptions and retained messages of a hub.
type Core struct {
	o        Options
	users    *auth.Book
	refusals *auth.Refusals
	lines    map[string]*log.Quota[line] // by user: see mayLog
	now      time.Time
	begun    time.Time // when all was loaded; without that, when the first connection came
	stats    Stats
	work     int // that Receive has done
	quantum  int // of work

	hub       *budget.Account
	accounts  map[string]*budget.Account // by principal
	guests    guests
	lingering int       // connections that are closed and still count: see unsettled
	thirsty   []*Client // publishers that wait for memory

	fx      Effects
	pending []*Client // have bytes that no Send has yet

	batch   *Batch     // is being filled
	full    []*Batch   // wait before it
	writing *Batch     // is being stored; nil: none
	spare   *Batch     // nil: none
	dirty   []*Session // whose progress goes into the next batch
	urgent  bool       // dirty is reason enough to write one
	delayed bool       // a timer will set urgent
	room    int64      // bytes that the store may still take

	clients   map[*Client]struct{}
	buckets   map[string]*budget.Bucket // of principals with a publish rate, by name
	sessions  map[string]*Session
	changing  map[string]*change   // by id of a client: what is being stored of it
	missed    map[*Session]*misses // what some did not get
	number    uint64               // of the newest durable session
	anonymous uint64               // clients without id so far
	stopping  bool
	lacking   map[string]bool // users of whom cannotFill has said it; nil: none

	subs    topic.Tree[branch]
	static  []StaticRoute
	version uint64 // counts changes of subs and static

	retained topic.Tree[kept]
	seq      uint64              // of the newest one
	sights   uint64              // SUBSCRIBEs that brought some
	renewing map[string]*renewal // topics whose retained message is being stored

	wills  map[string]*testament // of clients that were connected when the hub ended last time, by key
	owed   map[string]*testament // which could not be stored yet, by key
	owing  []string              // keys of owed, those that have been there for longest first
	timers timers
	away   away
	saying bool // a timer will log what is missed

	watches []Watch

	targets []record.Target // scratch
	unused  []*publication
	buffers [][]byte // large write buffers that nobody uses
	rings   rings
}

// New returns a Core without sessions. It refuses all that must be stored until Room has been called.
func New(o Options, users *auth.Book) *Core {
	c := &Core{
		o: o, users: users, refusals: auth.NewRefusals(), lines: map[string]*log.Quota[line]{},
		hub:      budget.New("", nil, o.Hub),
		accounts: map[string]*budget.Account{},
		batch:    &Batch{},
		clients:  map[*Client]struct{}{},
		buckets:  map[string]*budget.Bucket{},
		sessions: map[string]*Session{},
		changing: map[string]*change{},
		missed:   map[*Session]*misses{},
		renewing: map[string]*renewal{},
		wills:    map[string]*testament{},
		owed:     map[string]*testament{},
		quantum:  quantum,
	}
	c.guests = newGuests(c.hub, o.PacketMax)
	c.setLimits()
	return c
}

// Refusals limits the lines about refused logins, for the caller's too.
func (c *Core) Refusals() *auth.Refusals { return c.refusals }

// At tells the time. It comes before each event.
func (c *Core) At(now time.Time) { c.now = now }

// moment is the time since begun. It takes a third of the memory of a time.Time.
func (c *Core) moment() time.Duration { return c.now.Sub(c.begun) }

// Stats returns the current numbers.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Connections, s.Sessions, s.Retained = len(c.clients), len(c.sessions), c.retained.Len()
	s.Unchecked = c.guests.all.Used(budget.Memory)
	return s
}

// Stop closes all connections and refuses new ones. Wills stay in the store for the next start.
func (c *Core) Stop() {
	c.stopping = true
	for cl := range c.clients {
		c.end(cl, errStopping)
	}
}
