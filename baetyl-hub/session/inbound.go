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
//	PUBLISH ─► storing ─► stored: PUBREC ─► PUBREL ─► freeing ─► forgotten: PUBCOMP
//
// Both steps are answered when they are stored, to the connection that asks, as often as it asked. The session may
// get another connection meanwhile: it gets no answer before it asks itself, by PUBLISH or PUBREL once more, and then
// it gets one for certain. If a step can't be stored the connection that asked is closed, so that the client asks
// again. [MQTT-4.3.3-2] [MQTT-4.4.0-1]
type inbound struct {
	state   inboundState
	asker   *client // waits for an answer; nil: nobody does
	pubrec  int     // how many of each it waits for
	pubcomp int
}

type inboundState uint8

const (
	storing inboundState = iota // the message is on its way to the store
	stored                      // and there; PUBREC may be sent
	freeing                     // PUBREL came; that the id is free is on its way to the store
)

// ask notes that c waits for an answer; who asked before on another connection has left.
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

// answer sends what the asker waits for, of one kind.
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

// refuse ends the connection of the asker: it will ask again.
func (x *inbound) refuse() {
	if x.asker != nil {
		x.asker.kick()
	}
	x.asker, x.pubrec, x.pubcomp = nil, 0, 0
}

// begin tells whether a QoS 2 PUBLISH with this id is a new message. A repetition is answered, not published again.
// An error says that the client uses the id for another message before it may.
func (s *Session) begin(id packet.ID, c *client) (fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.inbound[id]
	if x != nil && x.state == storing && x.asker == c && x.pubcomp > 0 {
		return false, fmt.Errorf("%w: PUBLISH with id %d, whose PUBREL waits for PUBCOMP", errViolation, id)
	}
	fresh = x == nil || x.state == freeing // after PUBREL the id is another message's
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

// arrived says that the message of an exchange is stored, or why it is not. The goroutine is that of the read loop or
// of the store, to which batch belongs.
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
		c.sendID(packet.PUBCOMP, id, &c.batch) // an exchange that is complete; PUBCOMP was lost
		return
	}
	x.ask(c, packet.PUBCOMP)
	if x.state == stored {
		s.complete(id, x, &c.batch)
	}
}

// complete makes the id of an exchange free. It runs with s.mu held.
func (s *Session) complete(id packet.ID, x *inbound, batch *router.Batch) {
	if s.number == 0 {
		delete(s.inbound, id)
		x.answer(packet.PUBCOMP, id, batch)
		return
	}
	x.state = freeing
	batch.Later(&freeOp{s, id, x})
}

// freeOp stores that an id is free before PUBCOMP says so: the client may use it for another message at once.
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
