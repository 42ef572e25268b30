package core

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// keep is the size in bytes of the largest buffer that an idle connection keeps.
const keep = 4 << 10

// Sizes in bytes, and number, of the larger buffers that are kept for connections that write much.
const (
	largeBuffer   = 64 << 10
	largestBuffer = 4 * largeBuffer
	mostBuffers   = 16
)

// grow makes sure that n bytes fit into out: connections that write much share large buffers.
func (c *Core) grow(cl *Client, n int) {
	need := len(cl.out) + n
	if need <= cap(cl.out) || need <= keep || need > largestBuffer {
		return
	}
	old := cl.out
	cl.out = append(c.buffer(need), old...)
	c.giveBack(old)
}

// buffer returns a large buffer for n bytes.
func (c *Core) buffer(n int) []byte {
	for i := len(c.buffers) - 1; i >= 0; i-- {
		if b := c.buffers[i]; cap(b) >= n {
			last := len(c.buffers) - 1
			c.buffers[i], c.buffers[last] = c.buffers[last], nil
			c.buffers = c.buffers[:last]
			return b
		}
	}
	return make([]byte, 0, buffered(n))
}

// buffered is the size of a buffer with n bytes.
func buffered(n int) int {
	size := largeBuffer
	for size < n {
		size *= 2
	}
	if n <= keep || size > largestBuffer {
		return n
	}
	return size
}

// giveBack keeps a large buffer for other connections.
func (c *Core) giveBack(b []byte) {
	if cap(b) >= largeBuffer && cap(b) <= largestBuffer && len(c.buffers) < mostBuffers {
		c.buffers = append(c.buffers, b[:0])
	}
}

// list notes that cl has bytes for a Send.
func (c *Core) list(cl *Client) {
	if !cl.listed && !cl.sending {
		cl.listed = true
		c.pending = append(c.pending, cl)
	}
}

// Written tells that the socket has taken the bytes of the last Send.
func (c *Core) Written(cl *Client) {
	cl.sending = false
	if len(cl.out)+len(cl.early)+len(cl.rest) > 0 {
		c.list(cl)
	}
	if cl.passing {
		cl.passing = false
		c.repay(cl)
		return
	}
	cl.paced(c.moment())
	if len(cl.running) > 0 {
		c.written(cl)
	}
	if c.o.Retention > 0 && c.moment()-cl.since >= longRun && cl.s != nil {
		c.withdraw(cl)
	}
	if len(cl.rest) > 0 {
		return
	}
	data := cl.run
	cl.run = nil
	c.repay(cl)
	c.release(cl)
	if cl.s != nil && cl.s.starved {
		c.feed(cl.s)
	}
	if cl.s != nil && len(cl.s.replays) > 0 {
		c.replay(cl.s)
	}
	switch {
	case len(cl.out) > 0 && cap(data) > largestBuffer:
		return
	case len(cl.out) > 0:
		cl.other = data[:0]
		return
	case cap(data) > keep:
		c.giveBack(data)
	default:
		cl.other = data[:0]
	}
	if cap(cl.out) > keep {
		c.giveBack(cl.out)
		cl.out = nil
	}
}

// added checks the limit after bytes were added to out.
func (c *Core) added(cl *Client) {
	by := c.afford(cl, 0, 0, leaveNothing)
	if by != nil {
		c.lost(cl, by, 1, "a connection is closed that does not read what it gets")
	}
	if by != nil || len(cl.out)+len(cl.early) > c.o.hardLimit() {
		cl.out, cl.early, cl.copies = nil, nil, nil
		c.end(cl, errSlow)
		return
	}
	c.list(cl)
}

// sendQOS0 adds n QoS 0 packets, or drops them if too much waits. It tells whether the connection is congested.
func (c *Core) sendQOS0(cl *Client, frames []byte, n int) (congested bool) {
	if cl.ended {
		return false
	}
	if int(cl.qos0)+n > c.o.EgressQOS0 || len(cl.out)+len(frames) > c.o.EgressBytes {
		c.stats.Dropped += uint64(n)
		c.dropped(cl.s, slowReader, uint64(n))
		return true
	}
	if by := c.afford(cl, len(frames), 0, leaveWaiting); by != nil {
		c.stats.Dropped += uint64(n)
		c.lost(cl, by, n, "QoS 0 messages are dropped")
		return true
	}
	cl.qos0 += int32(n)
	c.grow(cl, len(frames))
	cl.out = append(cl.out, frames...)
	c.list(cl)
	return c.congested(cl)
}

// congested tells whether more than half of what QoS 0 messages may fill is filled.
func (c *Core) congested(cl *Client) bool {
	return int(cl.qos0) > c.o.EgressQOS0/2 || len(cl.out) > c.o.EgressBytes/2
}

// send adds an answer.
func (c *Core) send(cl *Client, p packet.Generic) {
	if cl.ended {
		return
	}
	b := make([]byte, p.Len())
	if _, err := p.Encode(b); err != nil {
		panic("encode an answer: " + err.Error())
	}
	if cl.overtakes() {
		cl.early = append(cl.early, b...)
	} else {
		cl.out, cl.inlined = append(cl.out, b...), true
	}
	c.added(cl)
}

// sendID adds a packet that is nothing but its id: PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK.
func (c *Core) sendID(cl *Client, kind packet.Type, id packet.ID) {
	if cl.ended {
		return
	}
	c.grow(cl, 4)
	switch {
	case kind == packet.PUBREL:
		cl.out = append(cl.out, byte(kind)<<4|2, 2, byte(id>>8), byte(id)) // [MQTT-3.6.1-1]
	case cl.overtakes():
		cl.early = append(cl.early, byte(kind)<<4, 2, byte(id>>8), byte(id))
	default:
		cl.out, cl.inlined = append(cl.out, byte(kind)<<4, 2, byte(id>>8), byte(id)), true
	}
	c.added(cl)
}

// sendPublish adds a PUBLISH packet of m.
func (c *Core) sendPublish(cl *Client, m *record.Message, qos packet.QOS, id packet.ID, dup, retain bool) {
	c.grow(cl, len(m.Topic)+len(m.Payload)+9)
	cl.out = appendPublish(cl.out, m, qos, id, dup, retain)
	c.added(cl)
}

// appendPublish appends the PUBLISH packet of m.
func appendPublish(b []byte, m *record.Message, qos packet.QOS, id packet.ID, dup, retain bool) []byte {
	p := packet.Publish{ID: id, Dup: dup}
	p.Message = packet.Message{Topic: m.Topic, Payload: m.Payload, QOS: qos, Retain: retain}
	n, size := len(b), p.Len()
	if free := cap(b) - n; free >= size {
		b = b[:n+size]
	} else {
		b = append(b, make([]byte, size)...)
	}
	if _, err := p.Encode(b[n:]); err != nil {
		panic("encode a message that was accepted: " + err.Error())
	}
	return b
}
