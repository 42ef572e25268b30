package core

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// tick is a time since the start of the hub. Queues are long, so it is short: it goes round after 13 years.
type tick uint32

// tickTime is the unit of tick.
const tickTime = 100 * time.Millisecond

func (c *Core) tick() tick { return tick(c.now.Sub(c.begun) / tickTime) }

// expires returns when a message of that age is too old to be sent; 0: never.
func (c *Core) expires(age time.Duration) tick {
	if c.o.Retention <= 0 {
		return 0
	}
	left := min(c.o.Retention, math.MaxInt32*tickTime) - age
	at := c.now.Sub(c.begun) + left
	return tick(max(at/tickTime, 1))
}

func (e *entry) expired(now tick) bool { return e.expires != 0 && int32(now-e.expires) >= 0 }

// expire drops the message at a position that waits in the queue of a session with a connection, as the store drops
// those that wait there.
func (c *Core) expire(s *Session, position uint64) {
	c.stats.Expired++
	c.dropped(s, tooOld, 1)
	share := s.q.at(position).share
	s.q.finish(position)
	c.acknowledged(s, s.client, share)
	c.progress(s)
}

// longRun is how long a run must have been on its way until what waits as bytes is looked through for old messages.
const longRun = time.Second

// withdraw takes messages that have become too old out of what waits to be written to a slow client.
func (c *Core) withdraw(cl *Client) {
	taken := len(cl.run) - len(cl.rest)
	cl.run = c.withdrawn(cl, cl.run, taken, cl.running)
	cl.rest = cl.run[taken:]
	cl.out = c.withdrawn(cl, cl.out, 0, cl.copies)
	c.pump(cl.s)
}

// withdrawn removes old messages from b, from at on, up to the first that is not old: those behind it are younger. list
// are the messages in b.
func (c *Core) withdrawn(cl *Client, b []byte, at int, list []copied) []byte {
	q, now, to := &cl.s.q, c.tick(), at
	for at < len(b) {
		size, err := PacketSize(b[at:], math.MaxInt)
		if err != nil || size == 0 {
			panic("a packet of the hub has no size")
		}
		if position, ok := firstCopy(q, b[at:at+size]); ok {
			if !q.at(position).expired(now) {
				break
			}
			c.expire(cl.s, position)
			for i := range list {
				list[i].cut(to, size)
			}
		} else {
			to += copy(b[to:], b[at:at+size])
		}
		at += size
	}
	return b[:to+copy(b[to:], b[at:])]
}

// firstCopy returns the position of the message in a packet, if that is a PUBLISH that has not been sent before.
func firstCopy(q *queue, frame []byte) (position uint64, ok bool) {
	const dup, qos = 8, 6
	if packet.Type(frame[0]>>4) != packet.PUBLISH || frame[0]&dup != 0 || frame[0]&qos == 0 {
		return 0, false
	}
	_, rest := topicOf(frame)
	position, ok = q.find(packet.ID(binary.BigEndian.Uint16(rest)))
	return position, ok && q.at(position).state == sent
}

// cut notes that size bytes at an offset of the buffer are removed.
func (x *copied) cut(at, size int) {
	if x.start > at {
		x.start -= size
	}
	if x.end > at {
		x.end -= size
	}
}
