package core

import (
	"errors"
	"math"
	"net"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/log"
)

// Handle is what the caller has of a connection.
type Handle interface {
	// RemoteAddr is the address of the client, for the log.
	RemoteAddr() net.Addr
}

// Client is one connection, from Open to Closed. Most of them do nothing most of the time, so it is kept small.
type Client struct {
	Handle Handle

	id   string // of CONNECT
	user *auth.User
	usage
	s     *Session // nil before CONNACK, and when the connection is no longer the session's
	will  *testament
	retry *packet.Connect // waits until another connection of the same client has its session

	egress
	other []byte        // the other buffer, when the socket does not have it
	since time.Duration // when the run began, by Core.moment

	routes  map[string]*Route // of topics that it may publish to
	full    *Client           // waits until this congested receiver has been written to
	until   time.Duration     // but not longer, by Core.moment
	waiting []*Client         // whose full is this one
	pace    *pace             // nil: it may publish as fast as it can

	published uint64 // PUBLISH packets that came from it
	bytes     uint64 // of them

	qos0     int32 // QoS 0 messages in out
	unstored int32 // messages that are received and not stored yet
	most     int32 // Options.Ingress
	listed   bool  // in Core.pending
	sending  bool  // the socket has bytes that it has not taken yet
	ended    bool  // nothing is read or sent any more
	bridge   bool  // see BridgeBit
	refused  bool  // one of unstored had no room, so those after it are refused too
	blocked  bool  // waits until a CONNECT, SUBSCRIBE or UNSUBSCRIBE is stored
	draining bool  // a timer for until runs
	stalled  bool  // was told that it is paused
	lingers  bool  // is closed, and unsettled: in Core.lingering

	version   byte   // of MQTT, as in CONNECT
	keepAlive uint16 // seconds, as in CONNECT
	opened    uint32 // when, in seconds of Core.moment
}

// Reasons that the caller gives to Closed.
var (
	// ErrKeepAlive ends a connection whose client was silent. [MQTT-3.1.2-24]
	ErrKeepAlive = errors.New("nothing came from the client for one and a half times its keep-alive")
	// ErrWriteTimeout ends a connection whose client takes nothing.
	ErrWriteTimeout = errors.New("the client took no byte for connection.write.timeout")
)

var (
	errDisconnect = errors.New("client disconnected")
	errViolation  = errors.New("protocol violation")
	errForbidden  = errors.New("not permitted")
	errStopping   = errors.New("hub is stopping")
	errTakenOver  = errors.New("another connection has taken over the session")
	errReloaded   = errors.New("the user was removed or changed")
	errSlow       = errors.New("the client does not read what it gets")
	errBudget     = errors.New("the limit is reached")
)

// NewClient returns a connection for Open.
func NewClient(handle Handle) *Client { return &Client{Handle: handle} }

// entry returns the log with the fields of the connection, which are not kept: many connections say nothing for hours.
func (c *Core) entry(cl *Client) log.Logger {
	l := c.o.Log.WithField(log.KeyAddress, cl.Handle.RemoteAddr().String())
	if cl.id != "" {
		l = l.WithField(log.KeyClient, cl.id)
	}
	if cl.user != nil {
		l = l.WithField(log.KeyUser, cl.user.Name)
	}
	return l
}

// Paused tells whether Receive must wait for Resume.
func (cl *Client) Paused() bool {
	return !cl.ended && (cl.blocked || cl.thirsty || cl.full != nil || cl.unstored >= cl.most ||
		cl.pace != nil && cl.pace.full(int(cl.most)))
}

// Open takes a new connection. If the result is false, there are too many, or the hub stops: close it and forget it.
func (c *Core) Open(cl *Client) bool {
	if c.stopping || len(c.clients)+c.lingering >= c.o.ConnectionsMax {
		c.stats.Rejected++
		return false
	}
	if c.begun.IsZero() {
		c.begun = c.now
	}
	cl.most = int32(min(c.o.Ingress, math.MaxInt32))
	cl.opened = uint32(c.moment() / time.Second)
	c.clients[cl] = struct{}{}
	return true
}

// Closed tells that a connection has ended, and why. It comes once for each connection of Open, as its last event.
func (c *Core) Closed(cl *Client, err error) {
	c.end(cl, err)
	delete(c.clients, cl)
	cl.egress, cl.other, cl.routes, cl.pace = egress{}, nil, nil, nil
	cl.partial, cl.cached = 0, 0
	c.repay(cl)
	c.leaveGuests(cl)
	if cl.unsettled() {
		cl.lingers = true
		c.lingering++
	}
}

// unsettled tells whether something that the client has sent is being stored. Until then its connection counts, also
// when it is closed: else one after the other could leave something behind while the disk is slow.
func (cl *Client) unsettled() bool { return cl.unstored > 0 || cl.blocked }

// settled ends the count of a connection that has ended, when nothing of it is being stored any more.
func (c *Core) settled(cl *Client) {
	if !cl.ended || cl.unsettled() {
		return
	}
	c.leave(cl)
	if cl.lingers {
		cl.lingers = false
		c.lingering--
	}
}

// end ends a connection: its session is free, its will is published unless the client sent DISCONNECT or the hub stops.
// What waits to be sent is still sent.
func (c *Core) end(cl *Client, err error) {
	if cl.ended {
		return
	}
	cl.ended = true
	c.ended(cl, err)
	if s := cl.s; s != nil {
		c.passAll(cl)
		c.endWill(cl, errors.Is(err, errDisconnect))
		c.detach(s)
		c.repay(cl)
	}
	c.stopWaiting(cl)
	c.release(cl)
	c.resume(cl)
	c.settled(cl)
	c.fx.Close = append(c.fx.Close, cl)
}

// release lets publishers go on that wait for cl.
func (c *Core) release(cl *Client) {
	for i, p := range cl.waiting {
		cl.waiting[i] = nil
		if p.full == cl {
			p.full = nil
			c.resume(p)
		}
	}
	cl.waiting = cl.waiting[:0]
}

// resume lets a client go on, if it was told to wait and has no reason any more.
func (c *Core) resume(cl *Client) {
	if cl.stalled && !cl.Paused() {
		cl.stalled = false
		c.fx.Resume = append(c.fx.Resume, cl)
	}
}
