package core

import (
	"math"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// portion is the size in bytes from which on what waits for a connection is sent in several Sends, each of whole
// packets, so that answers need not wait for all of it.
const portion = 64 << 10

// A connection that takes a portion at once gets larger ones, up to largePortion, since each costs time. One that needs
// longer than slowPortion for one gets small ones again.
const (
	largePortion = 1 << 20
	slowPortion  = 50 * time.Millisecond
)

// egress is what waits to be sent to a connection.
//
//	PUBLISH, PUBREL ──────────────► out ──► run: portion │ portion │ …
//	answers ── little is ahead ──►──┘            ▲
//	        └─ much is ahead ─► early ───────────┘ between two portions
//
// Answers are what a client waits for: PINGRESP, SUBACK, UNSUBACK, and what acknowledges its own messages. They keep
// their order among each other [MQTT-4.6.0-2]: those in out are in the first portion of a run, and early comes behind
// it. PUBREL stays behind the PUBLISH that it may belong to.
type egress struct {
	out     []byte        // waits
	early   []byte        // waits, and is sent before what is left of run
	run     []byte        // is being sent
	rest    []byte        // of run: no Send has had it
	copies  []copied      // messages in out
	running []copied      // messages in run that the socket has not taken
	began   time.Duration // when the portion was given to the socket, by Core.moment
	size    int32         // of the next portion, in bytes; 0: portion
	inlined bool          // out has answers
	passing bool          // the open Send has what was in early, not a portion
}

// copied are messages of a session that stand in a buffer.
type copied struct {
	from, to   uint64 // positions
	start, end int    // offsets in the buffer
}

// overtakes tells whether the next answer belongs in early.
func (g *egress) overtakes() bool {
	return len(g.early) > 0 || len(g.rest) > 0 || len(g.out) >= portion
}

// next returns what is sent next; nil: nothing.
func (cl *Client) next(now time.Duration) []byte {
	if len(cl.early) > 0 && !cl.inlined {
		data := cl.early
		cl.early, cl.passing = nil, true
		return data
	}
	if len(cl.rest) == 0 {
		cl.run, cl.rest = cl.out, cl.out
		cl.out, cl.qos0, cl.inlined = cl.other[:0], 0, false
		cl.other, cl.since = nil, now
		if len(cl.copies) > 0 {
			cl.copies, cl.running = cl.running[:0], cl.copies
		}
	}
	data, size := cl.rest, int(max(cl.size, portion))
	if len(data) > size {
		data = firstPackets(data, size)
	}
	cl.rest, cl.began = cl.rest[len(data):], now
	return data
}

// paced chooses the size of the next portion by the time that the socket needed for this one.
func (g *egress) paced(now time.Duration) {
	if now-g.began > slowPortion {
		g.size = 0
	} else if len(g.rest) > 0 {
		g.size = min(4*max(g.size, portion), largePortion)
	}
}

// firstPackets returns the packets that begin in the first limit bytes of b, which is longer.
func firstPackets(b []byte, limit int) []byte {
	n := 0
	for n < limit {
		size, err := PacketSize(b[n:], math.MaxInt)
		if err != nil || size == 0 {
			panic("a packet of the hub has no size")
		}
		n += size
	}
	return b[:n]
}

// copied notes that the message at a position now stands at the end of out, from start on.
func (c *Core) copied(cl *Client, position uint64, start int) {
	if cl.ended || c.o.Retry <= 0 {
		return
	}
	if n := len(cl.copies) - 1; n >= 0 {
		if x := &cl.copies[n]; x.to == position && len(cl.out)-x.start <= portion/4 {
			x.to, x.end = position+1, len(cl.out)
			return
		}
	}
	cl.copies = append(cl.copies, copied{position, position + 1, start, len(cl.out)})
}

// written starts the time of Options.Retry for the messages that the socket has taken.
func (c *Core) written(cl *Client) {
	taken, n := len(cl.run)-len(cl.rest), 0
	for _, x := range cl.running {
		if x.end > taken {
			break
		}
		n++
		if cl.s == nil {
			continue
		}
		q := &cl.s.q
		for p := max(x.from, q.head); p < min(x.to, q.next); p++ {
			if e := q.at(p); e.state == sent || e.state == released {
				e.sent = c.now
			}
		}
	}
	if n > 0 {
		cl.running = cl.running[:copy(cl.running, cl.running[n:])]
	}
}

// transmitRelease sends PUBREL for the message at a position.
func (c *Core) transmitRelease(s *Session, e *entry, position uint64) {
	cl, start := s.client, len(s.client.out)
	e.state, e.sent = released, time.Time{}
	c.sendID(cl, packet.PUBREL, packetID(position))
	c.copied(cl, position, start)
}
