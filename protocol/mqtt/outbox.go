package mqtt

import (
	"slices"

	"github.com/256dpi/gomqtt/packet"
)

// publication is a message on its way to the peer.
//
//	queued ──next──► written ── QoS 0 ─────────────────────────────► done
//	                    │       QoS 1 ──PUBACK────────────────────► done
//	                    │       QoS 2 ──PUBREC──► released ─PUBCOMP─► done
//	                    └─ connection lost: written again on the next one, as PUBLISH with DUP, or as PUBREL if
//	                       released and the peer kept the session
type publication struct {
	msg      Message
	done     func(error) // may be nil; must not block
	id       packet.ID   // 0 until it is in flight
	written  bool        // on the current connection
	tried    bool        // on any connection
	released bool        // QoS 2: PUBREC came
	failures int         // connections that the peer closed while this was the only one unanswered
	probed   bool        // failures reached the limit, and the peer has acknowledged another one since
}

func (p *publication) finish(err error) {
	if p.done != nil {
		p.done(err)
	}
}

// outbox holds what the client has to send, and what it has sent and the peer has not acknowledged. It is pure logic:
// no goroutine, no clock, no lock.
//
// Order: publications are written in the order of add; a full window holds up what comes behind it, QoS 0 included.
//
// Suspects: when the peer closes a connection with several publications unanswered, one of them may be the cause (too
// large for the peer, not permitted). Then the unanswered ones are resent one by one, so that the cause is the only
// unanswered one when it happens again.
//
// Probe: a peer that closes on everything (a full disk, a crash loop) must not cost message after message. With probe
// set, a publication with `poison` failures lets another one, the probe, go first. Once the peer acknowledges the
// probe, it is known to work, and the next failure of the publication is the last. Without an acknowledged probe the
// publication is given up at 4 * poison failures.
type outbox struct {
	window   int // most publications in flight
	poison   int // failures after which a publication is given up; 0: never
	probe    bool
	queue    []*publication
	flight   []*publication // in order of their first writing
	byID     map[packet.ID]*publication
	last     packet.ID
	unsent   int // of flight, on the current connection
	suspects bool
}

func newOutbox(window, poison int, probe bool) *outbox {
	return &outbox{window: window, poison: poison, probe: probe, byID: map[packet.ID]*publication{}, last: subscribeID}
}

func (o *outbox) add(p *publication) { o.queue = append(o.queue, p) }

func (o *outbox) empty() bool { return len(o.queue) == 0 && len(o.flight) == 0 }

// portion is the number of bytes from which on messages are not written together with the next ones: acknowledgements
// and pings pass between.
const portion = 64 << 10

// next takes up to limit packets to write, but no more after a portion. taken is the number of publications that left
// the queue; qos0 are those of QoS 0 among them, which are done once they are written.
func (o *outbox) next(limit int) (pkts []packet.Generic, taken int, qos0 []*publication) {
	if o.suspects && len(o.flight) > 0 {
		if o.unsent < len(o.flight) {
			return nil, 0, nil // one is unanswered
		}
		p, taken := o.single()
		o.unsent--
		return []packet.Generic{o.write(p)}, taken, nil
	}
	o.suspects = false
	bytes := 0
	for _, p := range o.flight {
		if o.unsent == 0 || len(pkts) == limit || bytes >= portion {
			break
		}
		if !p.written {
			bytes += p.msg.size()
			pkts = append(pkts, o.write(p))
			o.unsent--
		}
	}
	if o.unsent > 0 {
		return pkts, 0, nil
	}
	for len(o.queue) > 0 && len(pkts) < limit && bytes < portion {
		p := o.queue[0]
		if p.msg.QOS > 0 && len(o.flight) >= o.window {
			break
		}
		o.take()
		taken++
		bytes += p.msg.size()
		if p.msg.QOS == 0 {
			qos0 = append(qos0, p)
		}
		pkts = append(pkts, o.write(p))
	}
	return pkts, taken, qos0
}

// single chooses the suspect that is tried next: the first one, unless it needs a probe and another publication can be
// the probe.
func (o *outbox) single() (p *publication, taken int) {
	for _, p := range o.flight {
		if !o.probe || p.failures < o.poison || p.probed {
			return p, 0
		}
	}
	if len(o.queue) > 0 && o.queue[0].msg.QOS > 0 && len(o.flight) < o.window {
		o.unsent++
		return o.take(), 1
	}
	return o.flight[0], 0
}

// take moves the first publication from the queue to those in flight; at QoS 0 it just leaves.
func (o *outbox) take() *publication {
	p := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]
	if p.msg.QOS > 0 {
		p.id = o.freeID()
		o.byID[p.id] = p
		o.flight = append(o.flight, p)
	}
	return p
}

func (o *outbox) write(p *publication) packet.Generic {
	dup := p.tried
	p.written, p.tried = true, true
	if p.released {
		return &packet.Pubrel{ID: p.id}
	}
	return &packet.Publish{ID: p.id, Dup: dup, Message: p.msg.packet()} // [MQTT-3.3.1-1], [MQTT-4.4.0-1]
}

// freeID finds an id that is not in flight. There is one: the window is smaller than the number of ids.
func (o *outbox) freeID() packet.ID {
	for {
		o.last++
		if o.last <= subscribeID {
			o.last = subscribeID + 1
		}
		if o.byID[o.last] == nil {
			return o.last
		}
	}
}

// acked ends the publication with this id: PUBACK at QoS 1, PUBCOMP at QoS 2. It returns nil for an answer that
// nothing waits for.
func (o *outbox) acked(id packet.ID, qos uint32) *publication {
	p := o.byID[id]
	if p == nil || p.msg.QOS != qos || !p.written || qos == 2 && !p.released {
		return nil
	}
	o.remove(p)
	for _, f := range o.flight {
		f.probed = f.probed || o.poison > 0 && f.failures >= o.poison
	}
	return p
}

func (o *outbox) remove(p *publication) {
	delete(o.byID, p.id)
	i := slices.Index(o.flight, p)
	o.flight = slices.Delete(o.flight, i, i+1)
}

// received notes a PUBREC.
func (o *outbox) received(id packet.ID) {
	if p := o.byID[id]; p != nil && p.msg.QOS == 2 {
		p.released = true
	}
}

// connected notes a new connection. A peer that forgot the session may have forgotten what it answered with PUBREC,
// and some pass a message on only at PUBREL: it is sent once more from the start, since a copy is better than a loss.
func (o *outbox) connected(present bool) {
	for _, p := range o.flight {
		p.released = p.released && present
	}
}

// lost notes the end of a connection; byPeer says that the peer closed it. It returns the publication that is given
// up, if there is one.
func (o *outbox) lost(byPeer bool) *publication {
	var open []*publication
	for _, p := range o.flight {
		if p.written && !p.released {
			open = append(open, p)
		}
		p.written = false
	}
	o.unsent = len(o.flight)
	if o.poison <= 0 || !byPeer || len(open) == 0 {
		return nil
	}
	o.suspects = true
	if len(open) > 1 {
		return nil
	}
	p := open[0]
	p.failures++
	if p.failures < o.poison || o.probe && !p.probed && p.failures < 4*o.poison {
		return nil
	}
	o.remove(p)
	o.unsent--
	return p
}

// drop empties the outbox and returns what was in it.
func (o *outbox) drop() []*publication {
	all := append(o.flight, o.queue...)
	o.flight, o.queue, o.unsent = nil, nil, 0
	clear(o.byID)
	return all
}
