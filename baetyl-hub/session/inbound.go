package session

import (
	"fmt"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// inbound is a QoS 2 exchange that a client began, from its first PUBLISH until its id is free. It belongs to the
// session.
//
//	          PUBLISH             message stored          PUBREL             removal stored
//	(no entry) ─────► storing ────────────────► stored ──────────► freeing ─────────────────► (no entry)
//	                                  send PUBREC                                  send PUBCOMP
//
// Each step is answered when it is stored, to the connection that asked, once for each packet that asked. If the
// session gets another connection meanwhile, that one gets an answer only after it has sent PUBLISH or PUBREL itself.
// If a step can't be stored, the hub closes the connection that asked, so that the client asks again.
// [MQTT-4.3.3-2] [MQTT-4.4.0-1]
type inbound struct {
	state   inboundState
	asker   *client // connection that waits for answers; nil: none
	pubrec  int     // PUBREC packets that it waits for
	pubcomp int     // PUBCOMP packets that it waits for
}

type inboundState uint8

const (
	storing inboundState = iota // the message is being stored
	stored                      // the message is stored; PUBREC may be sent
	freeing                     // PUBREL came; the removal of the id is being stored
)

// ask records that c waits for an answer. If another connection waited before, it has ended.
func (x *inbound) ask(c *client, kind packet.Type) {
	if x.asker != c {
		x.asker, x.pubrec, x.pubcomp = c, 0, 0
	}
	if kind == packet.PUBREC {
		x.pubrec++
	} else {
		x.pubcomp++
	}
}

// answer sends the packets of one kind that the asker waits for.
func (x *inbound) answer(kind packet.Type, id packet.ID, batch *router.Batch) {
	n := &x.pubrec
	if kind == packet.PUBCOMP {
		n = &x.pubcomp
	}
	for ; *n > 0; *n-- {
		x.asker.sendID(kind, id, batch)
	}
	if x.pubrec == 0 && x.pubcomp == 0 {
		x.asker = nil
	}
}

// refuse closes the connection of the asker: the client will ask again.
func (x *inbound) refuse() {
	if x.asker != nil {
		x.asker.kick()
	}
	x.asker, x.pubrec, x.pubcomp = nil, 0, 0
}

// begin tells whether a QoS 2 PUBLISH with this id is a new message. A repetition is answered, not published again.
// It returns an error if the client uses the id for another message before PUBCOMP.
func (s *Session) begin(id packet.ID, c *client) (fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.inbound[id]
	if x != nil && x.state == storing && x.asker == c && x.pubcomp > 0 {
		return false, fmt.Errorf("%w: PUBLISH with id %d, whose PUBREL waits for PUBCOMP", errViolation, id)
	}
	fresh = x == nil || x.state == freeing // after PUBREL the id stands for another message
	if fresh {
		if s.inbound == nil {
			s.inbound = map[packet.ID]*inbound{}
		}
		x = &inbound{}
		s.inbound[id] = x
	}
	x.ask(c, packet.PUBREC)
	if x.state == stored {
		x.answer(packet.PUBREC, id, &c.batch)
	}
	return fresh, nil
}

// arrived continues an exchange when its message is stored, or ends it if err says that it is not. It runs on the
// goroutine of the read loop or of the store; batch belongs to that goroutine.
func (s *Session) arrived(id packet.ID, err error, batch *router.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.inbound[id]
	if err != nil {
		delete(s.inbound, id)
		x.refuse()
		return
	}
	x.state = stored
	x.answer(packet.PUBREC, id, batch)
	if x.pubcomp > 0 { // PUBREL came early
		s.complete(id, x, batch)
	}
}

// release handles PUBREL: the client will not send the message again.
func (s *Session) release(id packet.ID, c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.inbound[id]
	if x == nil {
		c.sendID(packet.PUBCOMP, id, &c.batch) // the exchange is complete; the client has lost PUBCOMP
		return
	}
	x.ask(c, packet.PUBCOMP)
	if x.state == stored {
		s.complete(id, x, &c.batch)
	}
}

// complete frees the id of an exchange. It runs with s.mu held.
func (s *Session) complete(id packet.ID, x *inbound, batch *router.Batch) {
	if s.number == 0 {
		delete(s.inbound, id)
		x.answer(packet.PUBCOMP, id, batch)
		return
	}
	x.state = freeing
	batch.Later(&freeOp{s, id, x})
}

// freeOp removes an id from the store before PUBCOMP is sent: the client may then use it for another message at once.
type freeOp struct {
	s  *Session
	id packet.ID
	x  *inbound
}

// Write implements store.Op.
func (o *freeOp) Write(tx *store.Tx) error {
	tx.DeleteReceived(o.s.number, o.id)
	return nil
}

// Committed implements store.Op.
func (o *freeOp) Committed(err error) {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		o.x.state = stored // PUBREL will come again
		o.x.refuse()
		return
	}
	if s.inbound[o.id] == o.x { // else another exchange has the id already
		delete(s.inbound, o.id)
	}
	o.x.answer(packet.PUBCOMP, o.id, s.g.batch)
}
