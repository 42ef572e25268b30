package core

import (
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// usage is what a client has in memory besides what every connection has: the bytes that wait to be written to it
// (egress), those of its session's queue, and the fields here. What is more than budget.Allowance is taken from its
// account before it is there.
//
//	limit of an account   ├─ messages that wait for clients ──────────┤  up to 6/8: they may stay for long
//	                      ├─ copies that are being sent, publications that are being stored ──┤  up to 7/8: they go soon
//	                      ├─ answers ───────────────────────────────────────┤  all: without them a connection has to end
type usage struct {
	account  *budget.Account // of user; before that, of guests, or nil
	charged  int             // bytes that it has taken from account
	incoming int             // bytes of publications that are being stored
	partial  int32           // bytes of a packet that has not come as a whole
	cached   int32           // bytes of routes, maxRoutes at most
	counted  bool            // has one of Connections of account
	thirsty  bool            // waits for memory to publish: in Core.thirsty
}

// How much of each limit is left to what can wait less, in eighths.
const (
	leaveWaiting = 2
	leaveMoving  = 1
	leaveNothing = 0
)

const (
	// starveDelay is how long a session waits for memory until it tries again.
	starveDelay = time.Second
	// thirstDelay is the same for a publisher.
	thirstDelay = 50 * time.Millisecond
)

// held is what the client would have in memory with more bytes in out, and others.
func (cl *Client) held(out, more int) int {
	n := buffered(len(cl.out)+out) + buffered(len(cl.run)) + len(cl.early) +
		cl.incoming + int(cl.partial) + int(cl.cached) + more
	if cl.s != nil {
		n += cl.s.q.bytes + len(cl.s.seen)*sightSize
	}
	return n
}

// afford takes what the client needs for more bytes in out, and others, and leaves some eighths of the limits to what
// can wait less. It returns nil, or the account that has not enough; then nothing is taken.
func (c *Core) afford(cl *Client, out, more int, leave int64) *budget.Account {
	need := cl.held(out, more) - budget.Allowance
	if need <= cl.charged || cl.account == nil {
		return nil
	}
	if limit := c.o.Client[budget.Memory]; limit > 0 && int64(need-cl.incoming-int(cl.partial)) > limit-limit/8*leave {
		return ofClient
	}
	by := cl.account.TakeLeaving(budget.Memory, int64(need-cl.charged), leave)
	if by == nil {
		cl.charged = need
	}
	return by
}

// repay gives back what the client does not need any more.
func (c *Core) repay(cl *Client) {
	if need := max(0, cl.held(0, 0)-budget.Allowance); need < cl.charged {
		cl.account.Give(budget.Memory, int64(cl.charged-need))
		cl.charged = need
	}
}

// starve lets pump try again later.
func (c *Core) starve(s *Session) {
	if s.starved {
		return
	}
	s.starved = true
	to := s.client
	c.timers.add(c.now.Add(starveDelay), func() {
		if s.client == to && s.starved {
			c.feed(s)
		}
	})
}

// feed ends starve.
func (c *Core) feed(s *Session) {
	s.starved = false
	c.pump(s)
}

// thirst pauses a publisher until there is memory for what it sends.
func (c *Core) thirst(cl *Client) {
	cl.thirsty = true
	if c.thirsty = append(c.thirsty, cl); len(c.thirsty) == 1 {
		c.timers.add(c.now.Add(thirstDelay), c.quench)
	}
}

// quench lets the publishers go on that wait for memory. Those that find none wait again.
func (c *Core) quench() {
	list := c.thirsty
	c.thirsty = nil
	for _, cl := range list {
		if cl.thirsty = false; !cl.ended {
			c.resume(cl)
		}
	}
}

// expects notes that the next packet of a client has n bytes, and has not come as a whole. Not ok: there is no memory
// for it.
func (c *Core) expects(cl *Client, n int) (ok bool) {
	size := buffered(n)
	if c.afford(cl, 0, size-int(cl.partial), leaveMoving) != nil {
		return false
	}
	cl.partial = int32(size)
	return true
}

// costOf is what a publication needs until it is stored: the message, its copies in the batch, and a list of receivers.
// One that is alone needs no more than two packets, so that it gets through all accounts.
func (c *Core) costOf(rt *Route, frame int) int {
	return min(frame*(1+rt.parts)+rt.receivers*receiverSize, 2*c.o.PacketMax)
}

// receiverSize is the bytes of a receiver in a publication and in the batch.
const receiverSize = 64

// routeSize is about the bytes of a route, without those of static routes.
func routeSize(rt *Route) int { return 160 + 2*len(rt.topic) + 24*len(rt.subs) + 96*len(rt.copies) }

// remember keeps a route with the connection, if there is memory for it.
func (c *Core) remember(cl *Client, rt *Route) {
	old := 0
	if x := cl.routes[rt.topic]; x != nil {
		old = routeSize(x)
	}
	if c.afford(cl, 0, routeSize(rt)-old, leaveWaiting) != nil {
		cl.cached -= int32(old)
		delete(cl.routes, rt.topic)
		return
	}
	if cl.routes == nil {
		cl.routes = map[string]*Route{}
	}
	cl.cached += int32(routeSize(rt) - old)
	cl.routes[rt.topic] = rt
}

// exchangeSize is the bytes of an inbound exchange of QoS 2. The first ones of a session are part of what a connection
// has.
const (
	exchangeSize  = 128
	freeExchanges = 20
)

// exchanged is the bytes of n exchanges that a session's account has.
func exchanged(n int) int { return max(0, n-freeExchanges) * exchangeSize }

// markBytes is the bytes of the queue of a session without client that its account has.
func (q *queue) markBytes() int { return max(0, q.bytes-budget.Allowance) }

// takeExchange takes what one more exchange of a session needs.
func (c *Core) takeExchange(s *Session) error {
	n := exchanged(len(s.inbound)+1) - exchanged(len(s.inbound))
	if by := s.account.TakeLeaving(budget.Memory, int64(n), leaveWaiting); by != nil {
		c.refused(s.account, by, budget.Memory, 1, s.id, "a connection with many QoS 2 messages without PUBREL is closed")
		return errBudget
	}
	return nil
}

// forgetExchange frees the id of an exchange.
func (c *Core) forgetExchange(s *Session, id packet.ID) {
	if _, has := s.inbound[id]; has && !s.dead {
		s.account.Give(budget.Memory, int64(exchanged(len(s.inbound))-exchanged(len(s.inbound)-1)))
	}
	delete(s.inbound, id)
}

// lost counts n messages that a client does not get for want of memory.
func (c *Core) lost(cl *Client, by *budget.Account, n int, what string) {
	if cl.s != nil {
		c.missedBy(cl.s).all += uint64(n)
	}
	c.refused(cl.account, by, budget.Memory, n, cl.id, what)
}

// sizeOf is about the bytes of a message.
func sizeOf(m *record.Message) int { return len(m.Topic) + len(m.Payload) + len(m.Properties) }
