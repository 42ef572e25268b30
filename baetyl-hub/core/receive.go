package core

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// flooded is the number of bytes of one read from which on the client probably sends as fast as the hub reads.
const flooded = 16 << 10

// drainTimeout is how long a publisher waits for a receiver that does not read.
const drainTimeout = time.Second

// quantum is how much work Receive does until other clients are to have their turn: about 2 ms, and 0.5 ms while other
// users are there (sharedQuantum). A QoS 0 message to a subscriber is the unit, what costs more counts as costly, and a
// topic that is new to the connection as unknown.
const (
	quantum       = 16 << 10
	sharedQuantum = quantum / 4
	costly        = 8
	unknown       = 32
)

// Share tells whether clients of several users are there, so that none of them may have the hub for long.
func (c *Core) Share(shared bool) {
	c.quantum = quantum
	if shared {
		c.quantum = sharedQuantum
	}
}

// Receive takes the whole packets at the start of data, which came from a client after its CONNECT, and returns how
// many bytes they had. It stops early when the client is Paused or has ended, and after a quantum of work: then the
// caller calls it again, after others. It keeps no part of data.
func (c *Core) Receive(cl *Client, data []byte) (used int) {
	var b burst
	for c.work = 0; !cl.ended && !cl.Paused() && c.work < c.quantum; {
		n, err := PacketSize(data[used:], c.o.PacketMax)
		if err == nil && (n == 0 || n > len(data)-used) {
			if n > 0 && !c.expects(cl, n) {
				c.thirst(cl)
			}
			break
		}
		if err == nil {
			frame := data[used : used+n]
			used += n
			cl.partial = 0
			if c.forward(cl, &b, data); c.work >= c.quantum {
				used -= n
				break
			}
			if err = c.handle(cl, frame, &b, used); err != nil && errors.Is(err, errLater) {
				used -= n
				break
			}
			if b.n > 0 {
				used += c.join(cl, &b, data[used:])
			}
		}
		if err != nil {
			c.forward(cl, &b, data)
			c.end(cl, err)
		}
	}
	c.forward(cl, &b, data)
	c.repay(cl)
	if b.full != nil && len(data) >= flooded && !cl.ended {
		c.drain(cl, b.full)
	}
	cl.stalled = cl.Paused()
	return used
}

// errLater says that a packet is to be received again when the client is not Paused any more.
var errLater = errors.New("the packet has to wait")

// handle carries out one packet. end is where the packet ends in the data of Receive.
func (c *Core) handle(cl *Client, frame []byte, b *burst, end int) error {
	kind := packet.Type(frame[0] >> 4)
	c.work += costly
	if cl.version == packet.Version31 {
		clearDup(frame, kind)
	}
	switch kind {
	case packet.PUBLISH:
		return c.publish(cl, frame, b, end)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		id, err := identified(frame, kind)
		if err != nil {
			return err
		}
		if kind == packet.PUBREL {
			c.pubrel(cl.s, id, cl)
		} else {
			c.acknowledge(cl.s, kind, id, cl)
		}
		return nil
	}
	if cl.pace != nil && cl.pace.holdsBack(kind) {
		return errLater
	}
	p, err := decode(frame)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch p := p.(type) {
	case *packet.Subscribe:
		c.subscribe(cl, p)
	case *packet.Unsubscribe:
		c.unsubscribe(cl, p)
	case *packet.Pingreq:
		c.send(cl, packet.NewPingresp()) // [MQTT-3.12.4-1]
	case *packet.Disconnect:
		return errDisconnect
	default: // a second CONNECT [MQTT-3.1.0-2], or a packet that only servers send
		return fmt.Errorf("%w: %s", errViolation, p.Type())
	}
	return nil
}

// burst is a series of plain QoS 0 PUBLISH packets of one topic, one after the other in what was received. They are
// forwarded as they were read.
type burst struct {
	route      *Route
	name       []byte // the topic
	head       []byte // of the first packet, up to the end of its topic
	size       int    // of the first packet, in bytes
	start, end int    // in the data of Receive
	n          int    // packets; 0: none
	full       *Client
}

// isPlain tells whether a PUBLISH has QoS 0 and no flags, and a remaining length without padding: some clients do not
// accept padding.
func isPlain(frame []byte) bool {
	_, size := binary.Uvarint(frame[1:])
	return frame[0] == byte(packet.PUBLISH)<<4 && (size == 1 || frame[size] != 0)
}

// join adds those packets at the start of data to the burst that belong there, and returns how many bytes they had.
func (c *Core) join(cl *Client, b *burst, data []byte) (used int) {
	// A burst is dropped as a whole, so it is small compared with the limit of a connection.
	most := min(c.o.EgressQOS0/8, c.quantum/max(len(b.route.subs), 1)+1)
	before := b.n
	for ; b.n < most; b.n++ {
		n := b.size
		if rest := data[used:]; len(rest) < n || !bytes.HasPrefix(rest, b.head) { // most have one length
			if n = c.joins(b, rest); n == 0 {
				break
			}
		}
		if cl.pace != nil && !cl.pace.passes(c.now, n) {
			break
		}
		used += n
	}
	b.end += used
	c.received(cl, b.n-before, used)
	return used
}

// joins returns how many bytes the next packet has if it belongs to the burst; 0: it does not, or is not whole.
func (c *Core) joins(b *burst, data []byte) int {
	n, err := PacketSize(data, c.o.PacketMax)
	if err != nil || n == 0 || n > len(data) || !isPlain(data[:n]) {
		return 0
	}
	if name, _ := topicOf(data[:n]); !bytes.Equal(name, b.name) {
		return 0
	}
	return n
}

// forward sends the burst to the subscribers. b.full is set if all of them are congested.
func (c *Core) forward(from *Client, b *burst, data []byte) {
	if b.n == 0 {
		return
	}
	frames, all := data[b.start:b.end], true
	c.seenFrames(from, b, frames)
	c.work += b.n * len(b.route.subs)
	b.full = nil
	for i := range b.route.subs {
		cl := b.route.subs[i].s.client
		if cl == nil || b.route.subs[i].early || cl == from && cl.bridge {
			continue
		}
		c.stats.Passed += uint64(b.n)
		if !c.sendQOS0(cl, frames, b.n) {
			all = false
		} else if cl != from {
			b.full = cl
		}
	}
	if !all {
		b.full = nil
	}
	b.n = 0
}

// drain lets a publisher wait until its receiver has taken what waits, since the hub would only drop what comes now. A
// receiver that has not read for drainTimeout holds nobody up.
func (c *Core) drain(cl, full *Client) {
	left := drainTimeout
	if full.sending {
		left -= c.moment() - full.since
	}
	if left <= 0 || full.ended || !c.congested(full) {
		return
	}
	cl.full, cl.until = full, c.moment()+left
	full.waiting = append(full.waiting, cl)
	c.drained(cl)
}

// drained lets a publisher go on when its time has come. There is one timer for each publisher: it may wait often.
func (c *Core) drained(cl *Client) {
	switch {
	case cl.full == nil || cl.draining:
	case cl.until > c.moment():
		cl.draining = true
		c.timers.add(c.begun.Add(cl.until), func() {
			cl.draining = false
			c.drained(cl)
		})
	default:
		cl.full = nil
		c.resume(cl)
	}
}
