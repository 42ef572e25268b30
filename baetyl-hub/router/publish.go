package router

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// Publication is one message that is being published. The router owns it from Publish until Done.
type Publication struct {
	Message packet.Message // Retain as published
	Route   *Route         // of Message.Topic; matched again if it is not Fresh
	InOrder bool           // an earlier message of the same publisher is not stored yet: go through the store, behind it

	// Of a QoS 2 message from a numbered session: its number and the packet id, stored with the message.
	Receiver uint64
	ID       packet.ID

	// Of a will: the client whose stored will this is, removed with the message.
	Will string

	// Done is called once, before the message is delivered: err is nil if the message is stored as far as it needs to be,
	// else the reason why it is not. It may be nil and must not block.
	Done func(p *Publication, err error, batch *Batch)
	// Tokens, if not nil: one token is received from it when the publication is delivered or refused.
	Tokens <-chan struct{}

	r     *Router
	parts []part
}

// part is the message itself or a copy of it by a static route.
type part struct {
	message *packet.Message
	live    []Sub          // get it without storage
	stored  []Sub          // get it from storage: sessions that outlive their connection, QoS 1 and 2
	targets []store.Target // of stored, same indexes
	seq     uint64
}

// Publish routes p. If there is nothing to store and nothing to wait for, p is delivered before Publish returns, and
// batch collects the connections to wake. Otherwise batch collects p for the store, whose goroutine continues with it.
func (r *Router) Publish(p *Publication, batch *Batch) {
	p.r = r
	if !r.Fresh(p.Route) {
		p.Route = r.Route(p.Message.Topic)
	}
	p.split(p.Route, &p.Message)
	if !p.InOrder && !p.Message.Retain && p.Receiver == 0 && p.Will == "" && !p.needsStore() {
		p.finish(nil, batch)
		return
	}
	batch.Later(p)
}

// Forward sends n QoS 0 PUBLISH packets of one topic, as they were read, to its subscribers. The packets must have
// neither the DUP nor the retain flag, and rt must be Direct.
func (rt *Route) Forward(frames []byte, n int, batch *Batch) {
	all := len(rt.subs) > 0
	for i := range rt.subs {
		if full := rt.subs[i].SendNow(frames, n, batch); full == nil {
			all = false
		} else if all {
			batch.Full = full
		}
	}
	if !all {
		batch.Full = nil
	}
}

func (p *Publication) split(rt *Route, m *packet.Message) {
	x := part{message: m}
	add := func(s Sub) {
		s.QOS = min(s.QOS, m.QOS)
		if s.QOS > 0 && s.Number() != 0 {
			x.stored = append(x.stored, s)
		} else {
			x.live = append(x.live, s)
		}
	}
	for _, s := range rt.subs {
		add(s)
	}
	for _, g := range rt.groups {
		if n := uint32(len(g.subs)); n > 0 {
			add(g.subs[g.next.Add(1)%n])
		}
	}
	p.parts = append(p.parts, x)
	for _, h := range rt.copies {
		p.split(h.route, &packet.Message{Topic: h.route.topic, Payload: m.Payload, QOS: h.qos(m.QOS)})
	}
}

func (p *Publication) needsStore() bool {
	for i := range p.parts {
		if len(p.parts[i].stored) > 0 {
			return true
		}
	}
	return false
}

// Write implements store.Op.
func (p *Publication) Write(tx *store.Tx) error {
	if p.Message.Retain && !p.r.Fresh(p.Route) {
		// Sessions that have subscribed meanwhile get it too: see SendRetained.
		p.Route, p.parts = p.r.Route(p.Message.Topic), p.parts[:0]
		p.split(p.Route, &p.Message)
	}
	size := 0
	for i := range p.parts {
		if len(p.parts[i].stored) > 0 {
			size += len(p.parts[i].message.Payload) + len(p.parts[i].message.Topic) + 32
		}
	}
	if p.Message.Retain {
		size += len(p.Message.Payload) + len(p.Message.Topic)
	}
	if size > 0 {
		if err := tx.Room(size); err != nil {
			return err
		}
	}
	for i := range p.parts {
		x := &p.parts[i]
		if len(x.stored) == 0 {
			continue
		}
		all := x.stored
		x.stored, x.targets = x.stored[:0], make([]store.Target, 0, len(all))
		for _, s := range all {
			if position, ok := s.Reserve(); ok {
				x.stored = append(x.stored, s)
				x.targets = append(x.targets, store.Target{Session: s.Number(), Position: position, QOS: s.QOS})
			}
		}
		if len(x.targets) > 0 {
			x.seq = tx.PutMessage(x.message, x.targets)
		}
	}
	if p.Message.Retain {
		if len(p.Message.Payload) == 0 {
			tx.DeleteRetained(p.Message.Topic) // [MQTT-3.3.1-10]
		} else {
			tx.PutRetained(&p.Message)
		}
	}
	if p.Receiver != 0 {
		tx.PutReceived(p.Receiver, p.ID)
	}
	if p.Will != "" {
		tx.DeleteWill(p.Will)
	}
	return nil
}

// Committed implements store.Op.
func (p *Publication) Committed(err error) {
	batch := &p.r.batch
	if err != nil {
		p.r.stats.Refused.Add(1)
		for i := range p.parts {
			for j, t := range p.parts[i].targets {
				p.parts[i].stored[j].Enqueue(Entry{Position: t.Position, QOS: t.QOS}, batch)
			}
		}
	} else if p.Message.Retain {
		p.r.retain(p.Message, p.Route.version)
	}
	p.finish(err, batch)
}

// finish answers before it delivers: a client that subscribes to its own topic gets PUBREC before PUBLISH.
func (p *Publication) finish(err error, batch *Batch) {
	if p.Done != nil {
		p.Done(p, err, batch)
	}
	if err == nil {
		p.deliver(batch)
	}
	if p.Tokens != nil {
		<-p.Tokens
	}
}

func (p *Publication) deliver(batch *Batch) {
	for i := range p.parts {
		x := &p.parts[i]
		var frame []byte
		for _, s := range x.live {
			if s.QOS > 0 {
				s.Enqueue(Entry{Message: x.message, QOS: s.QOS}, batch)
				continue
			}
			if frame == nil {
				frame = Encode(nil, x.message, 0, 0, false, false)
			}
			s.SendNow(frame, 1, batch)
		}
		for j, s := range x.stored {
			s.Enqueue(Entry{Message: x.message, Seq: x.seq, Position: x.targets[j].Position, QOS: s.QOS}, batch)
		}
	}
}

// Encode appends the PUBLISH packet of m to b.
func Encode(b []byte, m *packet.Message, qos packet.QOS, id packet.ID, dup, retain bool) []byte {
	p := packet.Publish{Message: *m, ID: id, Dup: dup}
	p.Message.QOS, p.Message.Retain = qos, retain
	n, size := len(b), p.Len()
	b = append(b, make([]byte, size)...)
	if _, err := p.Encode(b[n:]); err != nil {
		panic("encode a message that was accepted: " + err.Error())
	}
	return b
}
