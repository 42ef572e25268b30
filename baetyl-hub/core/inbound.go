package core

import (
	"fmt"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// inbound is a QoS 2 exchange that a client began, from its first PUBLISH until its id is free. It belongs to the
// session.
//
//	          PUBLISH             message stored          PUBREL             removal stored
//	(no entry) ─────► storing ────────────────► arrived ─────────► freeing ─────────────────► (no entry)
//	                                  send PUBREC                                  send PUBCOMP
//
// Each step is answered when it is stored, to the connection that asked, once for each packet that asked. If the
// session gets another connection meanwhile, that one gets an answer only after it has sent PUBLISH or PUBREL itself.
// If a step can't be stored, the hub closes the connection that asked, so that the client asks again.
// [MQTT-4.3.3-2] [MQTT-4.4.0-1]
type inbound struct {
	state   inboundState
	asker   *Client // connection that waits for answers; nil: none
	pubrec  int     // PUBREC packets that it waits for
	pubcomp int     // PUBCOMP packets that it waits for
	refused bool    // the message had no room: see Client.refused
}

type inboundState uint8

const (
	storing inboundState = iota // the message is being stored
	arrived                     // the message is stored; PUBREC may be sent
	freeing                     // PUBREL came; the removal of the id is being stored
)

// ask records that cl waits for an answer. If another connection waited before, it has ended.
func (x *inbound) ask(cl *Client, kind packet.Type) {
	if x.asker != cl {
		x.asker, x.pubrec, x.pubcomp = cl, 0, 0
	}
	if kind == packet.PUBREC {
		x.pubrec++
	} else {
		x.pubcomp++
	}
}

// settle sends the packets of one kind that the asker waits for.
func (c *Core) settle(x *inbound, kind packet.Type, id packet.ID) {
	n := &x.pubrec
	if kind == packet.PUBCOMP {
		n = &x.pubcomp
	}
	for ; *n > 0; *n-- {
		c.sendID(x.asker, kind, id)
	}
	if x.pubrec == 0 && x.pubcomp == 0 {
		x.asker = nil
	}
}

// fail closes the connection of the asker: the client will ask again.
func (c *Core) fail(x *inbound, err error) {
	asker := x.asker
	x.asker, x.pubrec, x.pubcomp = nil, 0, 0
	if asker != nil {
		c.end(asker, err)
	}
}

// begin tells whether a QoS 2 PUBLISH with this id is a new message. A repetition is answered, not published again.
// It returns an error if the client uses the id for another message before PUBCOMP.
func (c *Core) begin(s *Session, id packet.ID, cl *Client) (fresh bool, err error) {
	x := s.inbound[id]
	if x != nil && x.state == storing && x.asker == cl && x.pubcomp > 0 {
		return false, fmt.Errorf("%w: PUBLISH with id %d, whose PUBREL waits for PUBCOMP", errViolation, id)
	}
	fresh = x == nil || x.state == freeing // after PUBREL the id stands for another message
	if fresh {
		if x == nil {
			if err := c.takeExchange(s); err != nil {
				return false, fmt.Errorf("PUBLISH with QoS 2: %w", err)
			}
		}
		if s.inbound == nil {
			s.inbound = map[packet.ID]*inbound{}
		}
		x = &inbound{}
		s.inbound[id] = x
	}
	x.ask(cl, packet.PUBREC)
	cl.refused = cl.refused || x.refused
	if x.state == arrived {
		c.settle(x, packet.PUBREC, id)
	}
	return fresh, nil
}

// arrived continues an exchange when its message is stored, or ends it if err says that it is not.
func (c *Core) arrived(s *Session, id packet.ID, err error) {
	x := s.inbound[id]
	if x == nil {
		return // the session has ended
	}
	if err != nil {
		c.forgetExchange(s, id)
		c.fail(x, err)
		return
	}
	x.state = arrived
	if x.asker != nil {
		c.settle(x, packet.PUBREC, id)
	}
	if x.pubcomp > 0 { // PUBREL came early
		c.complete(s, id, x)
	}
}

// pubrel handles PUBREL: the client will not send the message again.
func (c *Core) pubrel(s *Session, id packet.ID, cl *Client) {
	x := s.inbound[id]
	if x == nil {
		c.sendID(cl, packet.PUBCOMP, id) // the exchange is complete; the client has lost PUBCOMP
		return
	}
	x.ask(cl, packet.PUBCOMP)
	if x.state == arrived {
		c.complete(s, id, x)
	}
}

// complete frees the id of an exchange. It is removed from the store before PUBCOMP is sent: the client may then use it
// for another message at once.
func (c *Core) complete(s *Session, id packet.ID, x *inbound) {
	if s.number == 0 {
		c.forgetExchange(s, id)
		c.settle(x, packet.PUBCOMP, id)
		return
	}
	x.state = freeing
	c.later(func(b *record.Batch) { b.DeleteReceived(s.number, id) }, func(err error) {
		if err != nil {
			x.state = arrived // PUBREL will come again
			c.fail(x, err)
			return
		}
		if s.inbound[id] == x { // else another exchange has the id already
			c.forgetExchange(s, id)
		}
		if x.asker != nil {
			c.settle(x, packet.PUBCOMP, id)
		}
	})
}
