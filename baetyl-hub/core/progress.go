package core

import (
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// acknowledge handles PUBACK, PUBREC and PUBCOMP of the client.
func (c *Core) acknowledge(s *Session, kind packet.Type, id packet.ID, cl *Client) {
	position, ok := s.q.find(id)
	var e *entry
	if ok {
		e = s.q.at(position)
	}
	switch {
	case kind == packet.PUBACK && ok && e.qos == 1 && e.state == sent,
		kind == packet.PUBCOMP && ok && e.state == released:
		size := e.share
		s.q.finish(position)
		c.acknowledged(s, cl, size)
		c.progress(s)
		c.pump(s)
	case kind == packet.PUBREC && ok && e.qos == 2 && e.state == sent:
		// The client has the message; only its id has to be released. The PUBREC must be stored first: after PUBREL the
		// client forgets the id, and would take a PUBLISH that a restarted hub repeats for a new one. [MQTT-4.3.3-1]
		size := e.share
		s.q.receive(position, c.now)
		c.acknowledged(s, cl, size)
		if s.number == 0 { // nothing is stored for it
			c.transmitRelease(s, e, position)
		} else {
			c.record(s)
		}
	case kind == packet.PUBREC && (!ok || e.state == released || e.state == done):
		c.sendID(cl, packet.PUBREL, id) // repeated, or from a session that the hub has discarded
	}
}

// acknowledged gives back what a message needed in memory and, by its share, on the disk.
func (c *Core) acknowledged(s *Session, cl *Client, size uint32) {
	if s.disk > 0 {
		c.giveDisk(s, size)
	}
	c.repay(cl)
	if s.q.bytes == 0 {
		s.starved = false
	}
}

// ackDelay is how long the progress of sessions waits for a batch that is written anyway. After a crash, what a client
// has acknowledged meanwhile comes again.
const ackDelay = 10 * time.Millisecond

// progress lets the next batch store what the session has acknowledged.
func (c *Core) progress(s *Session) {
	if s.number == 0 || s.dirty {
		return
	}
	s.dirty = true
	c.dirty = append(c.dirty, s)
	if !c.delayed {
		c.delayed = true
		c.timers.add(c.now.Add(ackDelay), func() { c.delayed, c.urgent = false, true })
	}
}

// record is progress for an answer that waits until it is stored.
func (c *Core) record(s *Session) {
	c.progress(s)
	c.urgent = true
}

// save adds the progress of the session to a batch.
func (s *Session) save(b *Batch) {
	s.recorded = s.recorded[:0]
	for p := s.q.head; p < s.q.high; p++ {
		if s.q.state(p) == received {
			s.recorded = append(s.recorded, p)
		}
	}
	b.Records.Acked(s.number, s.q.encode(nil), len(s.recorded) > 0)
}

// saveAgain is the time after which progress is stored that could not be, if nothing else is acknowledged before.
const saveAgain = time.Second

// saved continues when the progress is stored, or is not.
func (c *Core) saved(s *Session, err error) {
	recorded := s.recorded
	s.recorded = s.recorded[:0]
	if s.dead {
		return
	}
	if err != nil {
		c.timers.add(c.now.Add(saveAgain), func() { c.progress(s) })
		if s.client != nil && len(recorded) > 0 {
			c.end(s.client, err) // the PUBREC is not stored, so no PUBREL may be sent; attach tries again
		}
		return
	}
	for _, p := range recorded {
		switch {
		case p < s.q.head || s.q.state(p) != received:
		case p >= s.q.tail:
			s.q.mark(p, released)
		default:
			c.transmitRelease(s, s.q.at(p), p)
		}
		if s.dead {
			return
		}
	}
}
