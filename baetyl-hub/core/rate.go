package core

import (
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// pace slows down a client that has a publish rate, or whose principal has one.
//
//	QoS 0 ──────────────── within the rate ────► forward      else: dropped, counted
//	QoS 1, 2, retained ─── within the rate ────► submit
//	                  └─► held until its time ──►──┘          many: the client is Paused
//
// Retained messages wait with any QoS: the last value of a topic must not be an older one.
//
// What a client sends is still read while a few messages are held, so that PINGREQ is answered and what it acknowledges
// counts. SUBSCRIBE, UNSUBSCRIBE and DISCONNECT keep their place behind what is held.
type pace struct {
	own   *budget.Bucket // of the connection; nil: no limit
	all   *budget.Bucket // of its principal; nil: no limit
	held  []postponed
	size  int   // of held, in bytes of packets
	timed bool  // a timer runs for the first of them
	rests bool  // nothing is read for restTime
	over  uint8 // QoS 0 messages that were dropped since
	waits bool  // the next packet waits until nothing is held
}

// postponed is a publication that comes too early.
type postponed struct {
	x    *publication
	due  time.Time
	size int // of its packet, in bytes
}

// A client that sends QoS 0 messages far over its rate takes time of others also when they are dropped: after restAfter
// of them it is Paused for restTime.
const (
	restAfter = 100
	restTime  = time.Second
)

// heldMax is how many bytes of packets are held until the client is Paused.
const heldMax = 16 << 10

// paceOf returns the pace of a new connection; nil: it may publish as fast as it can.
func (c *Core) paceOf(cl *Client) *pace {
	own := budget.NewBucket(c.o.ClientRate)
	if all := c.bucketOf(cl.user.Name); own != nil || all != nil {
		return &pace{own: own, all: all}
	}
	return nil
}

// bucketOf returns the bucket that all clients of a principal share; nil: it has no limit.
func (c *Core) bucketOf(user string) *budget.Bucket {
	b := c.buckets[user]
	if b == nil {
		if b = budget.NewBucket(c.users.Rate(user, c.o.PrincipalRate)); b != nil {
			c.buckets[user] = b
		}
	}
	return b
}

// setRates applies the rates of new principals, to connections that stay too.
func (c *Core) setRates() {
	for user, b := range c.buckets {
		if r := c.users.Rate(user, c.o.PrincipalRate); c.users.User(user) == nil || r == (budget.Rate{}) {
			delete(c.buckets, user)
		} else {
			b.SetRate(r)
		}
	}
	for cl := range c.clients {
		if cl.s == nil {
			continue
		}
		if all := c.bucketOf(cl.user.Name); cl.pace != nil {
			cl.pace.all = all
		} else if all != nil {
			cl.pace = &pace{all: all}
		}
	}
}

// wait is how long a message of so many bytes has to wait.
func (p *pace) wait(now time.Time, size int) time.Duration {
	return max(p.own.Wait(now, size), p.all.Wait(now, size))
}

func (p *pace) take(now time.Time, size int) {
	p.own.Take(now, size)
	p.all.Take(now, size)
}

// passes takes a QoS 0 message, or tells that it comes too early.
func (p *pace) passes(now time.Time, size int) bool {
	if len(p.held) > 0 || p.wait(now, size) > 0 {
		return false
	}
	p.take(now, size)
	return true
}

// full tells whether the client must wait.
func (p *pace) full(most int) bool {
	return p.waits || p.rests || p.size >= heldMax || len(p.held) >= most
}

// dropOver drops a QoS 0 message that is over the rate.
func (c *Core) dropOver(cl *Client) {
	c.stats.RateDropped++
	c.dropped(cl.s, overRate, 1)
	p := cl.pace
	if p.over++; p.over < restAfter {
		return
	}
	p.over, p.rests = 0, true
	c.timers.add(c.now.Add(restTime), func() {
		p.rests = false
		c.resume(cl)
	})
}

// holdsBack tells whether a packet keeps its place behind messages that are held. Then it is to be received again.
func (p *pace) holdsBack(kind packet.Type) bool {
	switch kind {
	case packet.SUBSCRIBE, packet.UNSUBSCRIBE, packet.DISCONNECT:
		p.waits = len(p.held) > 0
		return p.waits
	}
	return false
}

// hold keeps a publication of so many bytes until its time has come, and tells whether it has to wait.
func (c *Core) hold(cl *Client, x *publication, size int) bool {
	p := cl.pace
	wait := p.wait(c.now, size)
	p.take(c.now, size)
	if wait == 0 && len(p.held) == 0 {
		return false
	}
	c.stats.Slowed++
	p.held = append(p.held, postponed{x, c.now.Add(wait), size})
	p.size += size
	cl.incoming += x.size // which was afforded
	c.passAt(cl)
	return true
}

// passAt lets a timer call passHeld when the first of them is due.
func (c *Core) passAt(cl *Client) {
	p := cl.pace
	if p.timed || len(p.held) == 0 {
		return
	}
	p.timed = true
	c.timers.add(p.held[0].due, func() {
		p.timed = false
		if !cl.ended {
			c.passHeld(cl, c.now)
			c.repay(cl)
			c.passAt(cl)
			c.resume(cl)
		}
	})
}

// passHeld submits what has been held and is due.
func (c *Core) passHeld(cl *Client, now time.Time) {
	p := cl.pace
	for len(p.held) > 0 && !p.held[0].due.After(now) {
		h := p.held[0]
		p.held[0] = postponed{}
		p.held = p.held[1:]
		p.size -= h.size
		cl.incoming -= h.x.size
		if h.x.route.version != c.version {
			h.x.route = c.routeOf(h.x.m.Topic)
		}
		c.submit(h.x, cl.unstored > 0)
	}
	if len(p.held) == 0 {
		p.held, p.waits = nil, false
	}
}

// passAll submits what is held when a connection has ended: its client may never send it again.
func (c *Core) passAll(cl *Client) {
	if p := cl.pace; p != nil && len(p.held) > 0 {
		c.passHeld(cl, p.held[len(p.held)-1].due)
	}
}
