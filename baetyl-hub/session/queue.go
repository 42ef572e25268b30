package session

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// queue holds the QoS 1 and 2 messages that a session still has to deliver, in order. It has no lock.
//
//	          head                     next                    tail
//	… done │ sent · sent · done · released │ waiting · waiting · … │
//	       └────────── in flight ──────────┘
//
//	waiting ──PUBLISH──► sent ──PUBACK──► done                                               (QoS 1)
//	   ▲                 │  └───PUBREC──► received ──stored, PUBREL──► released ──PUBCOMP──► done (QoS 2)
//	   └──── rewind ─────┘
//
// Each entry has a position, one more than that of the entry before. The packet id is the position modulo 65535, plus
// one. So an id stays the same over connections and restarts without being stored, and the entry of an acknowledgement
// is found by arithmetic. Entries in flight span less than 65535 positions, so that their ids are unique.
type queue struct {
	entries  []entry // ring; its length is a power of two
	first    int     // index of head in entries
	head     uint64  // position of the oldest entry that is not done
	next     uint64  // position of the first entry that was not sent on this connection
	high     uint64  // position after the last entry that was ever sent
	tail     uint64  // position after the newest entry
	inFlight int     // entries in flight that are not done
}

type entry struct {
	message  *packet.Message // nil: in the store only
	seq      uint64          // 0: not stored
	sent     uint32          // when, in seconds since the process started
	qos      packet.QOS
	state    state
	retained bool
	dup      bool // may have been sent before: DUP
}

type state uint8

const (
	waiting  state = iota
	sent           // PUBLISH was sent
	received       // QoS 2: PUBREC came and is being stored; then PUBREL is sent
	released       // QoS 2: PUBREL was sent
	done           // acknowledged, expired or refused
)

// missing tells whether the entry's message has to be read from the store before it can be sent.
func (e *entry) missing() bool { return e.state == waiting && e.message == nil }

// maxSpan is the number of packet ids: positions in flight are less than maxSpan apart.
const maxSpan = 65535

func packetID(position uint64) packet.ID { return packet.ID(position%maxSpan + 1) }

// at returns the entry at a position between head and tail.
func (q *queue) at(position uint64) *entry {
	return &q.entries[(q.first+int(position-q.head))&(len(q.entries)-1)]
}

// len returns the number of entries, done ones between others included.
func (q *queue) len() int { return int(q.tail - q.head) }

// push appends e at tail.
func (q *queue) push(e entry) {
	if q.len() == len(q.entries) {
		grown := make([]entry, max(8, 2*len(q.entries)))
		for i := range q.len() {
			grown[i] = q.entries[(q.first+i)&(len(q.entries)-1)]
		}
		q.entries, q.first = grown, 0
	}
	q.tail++
	*q.at(q.tail - 1) = e
}

// skip appends done entries until tail is position.
func (q *queue) skip(position uint64) {
	if q.len() == 0 && position > q.tail { // nothing to keep: no entries needed
		q.head, q.next, q.high, q.tail = position, position, position, position
		return
	}
	for q.tail < position {
		q.push(entry{state: done})
	}
	q.trim()
}

// has tells whether an entry that was ever sent is in the state.
func (q *queue) has(x state) bool {
	for p := q.head; p < q.high; p++ {
		if q.at(p).state == x {
			return true
		}
	}
	return false
}

// find returns the position in flight that has the packet id.
func (q *queue) find(id packet.ID) (position uint64, ok bool) {
	position = q.head + (uint64(id)+maxSpan-1-q.head%maxSpan)%maxSpan
	return position, id != 0 && position < q.next
}

// finish marks the entry at position done and returns its number in the store.
func (q *queue) finish(position uint64) (seq uint64) {
	e := q.at(position)
	if e.state == done {
		return 0
	}
	if position < q.next {
		q.inFlight--
	}
	seq = e.seq
	*e = entry{state: done}
	q.trim()
	return seq
}

// trim moves head over done entries.
func (q *queue) trim() {
	for q.head < q.tail && q.at(q.head).state == done {
		q.first = (q.first + 1) & (len(q.entries) - 1)
		q.head++
	}
	q.next, q.high = max(q.next, q.head), max(q.high, q.head)
	if q.head == q.tail && len(q.entries) > 64 {
		q.entries, q.first = nil, 0 // give the memory of a long queue back
	}
}

// sendable returns the next entry to send, if the window has room for it.
func (q *queue) sendable(window int) (e *entry, position uint64, ok bool) {
	for q.next < q.tail && q.at(q.next).state == done {
		q.next++
	}
	if q.next == q.tail || q.inFlight >= window || q.next-q.head >= maxSpan-1 {
		return nil, 0, false
	}
	return q.at(q.next), q.next, true
}

// advance counts the entry that sendable returned as in flight.
func (q *queue) advance() {
	q.next++
	q.high = max(q.high, q.next)
	q.inFlight++
}

// rewind prepares for a new connection: what was in flight is sent again.
func (q *queue) rewind() {
	for p := q.head; p < q.next; p++ {
		if e := q.at(p); e.state == sent {
			e.state, e.dup = waiting, true
		}
	}
	q.next, q.inFlight = q.head, 0
}

// encodeAcked appends the position of head, and the entries behind it that are done or whose PUBREC has come.
func (q *queue) encodeAcked(b []byte) []byte {
	b = binary.AppendUvarint(b, q.head)
	last := q.head
	for p := q.head; p < q.high; p++ {
		var flag byte
		switch q.at(p).state {
		case done:
		case received, released:
			flag = 1
		default:
			continue
		}
		b = append(binary.AppendUvarint(b, p-last), flag)
		last = p
	}
	return b
}

// acked is the decoded form of what encodeAcked appends.
type acked struct {
	head     uint64
	done     map[uint64]bool // positions behind head; true: PUBREC came, false: done
	furthest uint64          // position after the last one that is known
}

func decodeAcked(b []byte) (a acked, err error) {
	errDamaged := errors.New("acknowledged positions are damaged")
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err, b = errDamaged, nil
			return 0
		}
		b = b[size:]
		return n
	}
	if a.head = number(); a.head > math.MaxInt64 { // not possible; and sums with it must not overflow
		return acked{}, errDamaged
	}
	a.furthest = a.head
	a.done = map[uint64]bool{}
	for p := a.head; len(b) > 0; {
		n := number()
		if len(b) == 0 || n >= maxSpan-(p-a.head) { // positions in flight are never further apart
			return a, errDamaged
		}
		p += n
		a.done[p] = b[0] == 1
		b = b[1:]
		a.furthest = p + 1
	}
	return a, err
}

// started is the time from which entry.sent counts.
var started = time.Now()

func seconds() uint32 { return uint32(time.Since(started) / time.Second) }

// entryOf makes a queue entry of a router entry.
func entryOf(e router.Entry) entry {
	return entry{message: e.Message, seq: e.Seq, qos: e.QOS, retained: e.Retained}
}
