package core

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// queue holds the QoS 1 and 2 messages that a connected session delivers now, in order. What waits behind them is in
// the store only.
//
//	          head                     next                    tail                stored
//	… done │ sent · sent · done · released │ waiting · waiting · … │ (in the store) … │
//	       └────────── in flight ──────────┘
//
//	waiting ──PUBLISH──► sent ──PUBACK──► done                                               (QoS 1)
//	                       └───PUBREC──► received ──stored, PUBREL──► released ──PUBCOMP──► done (QoS 2)
//
// Each entry has a position, one more than that of the entry before. The packet id is the position modulo 65535, plus
// one. So an id stays the same over connections and restarts without being stored, and the entry of an acknowledgement
// is found by arithmetic. Entries in flight span less than 65535 positions, so that their ids are unique.
//
// A session without connection has no entries: marks remember what is known of positions behind head.
type queue struct {
	entries  []entry // ring; its length is a power of two
	first    int32   // index of head in entries
	inFlight int32   // entries in flight that are not done
	head     uint64  // position of the oldest entry that is not done
	next     uint64  // position of the first entry that was not sent on this connection
	high     uint64  // position after the last entry that was ever sent
	tail     uint64  // position after the newest entry
	bytes    int     // of entries and marks: see entry.size
	marks    map[uint64]state
	rings    *rings
}

type entry struct {
	message  *record.Message
	sent     time.Time // when the socket took the last copy; zero: it has not. Of one in memory that waits: when it came
	qos      packet.QOS
	state    state
	retained bool
	dup      bool   // may have been sent before: DUP
	share    uint32 // of the session's bytes on the disk
	expires  tick   // not sent for the first time from then on; 0: never
}

// markSize is about the bytes of a mark, or of an entry without its message.
const markSize = 48

// size is the bytes of an entry with its message. One that was left empty (see skip) does not count.
func (e *entry) size() int {
	switch {
	case e.message != nil:
		return sizeOf(e.message) + 80 + markSize
	case e.qos != 0:
		return markSize
	}
	return 0
}

type state uint8

const (
	waiting  state = iota
	sent           // PUBLISH was sent
	received       // QoS 2: PUBREC came and is being stored; then PUBREL is sent
	released       // QoS 2: PUBREL was sent
	done           // acknowledged, expired or refused
)

// maxSpan is the number of packet ids: positions in flight are less than maxSpan apart.
const maxSpan = 65535

// span is how far, in windows, a client may acknowledge past a message that it does not acknowledge: what is known of
// those behind it is stored with each progress.
const span = 16

func packetID(position uint64) packet.ID { return packet.ID(position%maxSpan + 1) }

// at returns the entry at a position between head and tail.
func (q *queue) at(position uint64) *entry {
	return &q.entries[(int(q.first)+int(position-q.head))&(len(q.entries)-1)]
}

// len returns the number of entries, done ones between others included.
func (q *queue) len() int { return int(q.tail - q.head) }

// push appends e at tail.
func (q *queue) push(e entry) {
	if q.len() == len(q.entries) {
		grown := q.rings.take(max(8, 2*len(q.entries)))
		for i := range q.len() {
			grown[i] = q.entries[(int(q.first)+i)&(len(q.entries)-1)]
		}
		clear(q.entries)
		q.rings.give(q.entries)
		q.entries, q.first = grown, 0
	}
	q.bytes += e.size()
	q.tail++
	*q.at(q.tail - 1) = e
}

// start sets an empty queue to a position.
func (q *queue) start(position uint64) {
	q.head, q.next, q.tail = position, position, position
	q.high = max(q.high, position)
}

// skip leaves the positions from tail to position empty. It tells whether it could: what is in flight limits how far it
// gets, until it is acknowledged.
func (q *queue) skip(position uint64) bool {
	for q.tail < position {
		if q.len() == 0 && len(q.marks) == 0 {
			q.start(position)
			return true
		}
		if q.len() >= maxSpan-1 {
			return false
		}
		q.take(entry{state: done})
		q.trim()
	}
	return true
}

// take appends the entry of position tail, which was in the store, or is missing there (done), under what its mark
// says.
func (q *queue) take(e entry) {
	if x, ok := q.marks[q.tail]; ok {
		e = entry{qos: 2, state: x}
		delete(q.marks, q.tail)
		q.bytes -= markSize
	}
	e.dup = q.tail < q.high
	q.push(e)
}

// has tells whether an entry that was ever sent is in the state.
func (q *queue) has(x state) bool {
	for p := q.head; p < min(q.high, q.tail); p++ {
		if q.at(p).state == x {
			return true
		}
	}
	for _, m := range q.marks {
		if m == x {
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

// finish marks the entry at position done.
func (q *queue) finish(position uint64) {
	e := q.at(position)
	if e.state == done {
		return
	}
	if position < q.next {
		q.inFlight--
	}
	q.replace(e, entry{qos: e.qos, state: done})
	q.trim()
}

// trim moves head over done entries.
func (q *queue) trim() {
	for q.head < q.tail && q.at(q.head).state == done {
		q.bytes -= q.at(q.head).size()
		q.first = (q.first + 1) & int32(len(q.entries)-1)
		q.head++
	}
	q.next, q.high = max(q.next, q.head), max(q.high, q.head)
	if q.head == q.tail && len(q.entries) > smallRing {
		q.rings.give(q.entries) // give the memory of a long queue back
		q.entries, q.first = nil, 0
	}
}

// sendable returns the next entry to send, if the window has room for it.
func (q *queue) sendable(window int) (e *entry, position uint64, ok bool) {
	for q.next < q.tail && q.at(q.next).state == done {
		q.next++
	}
	if q.next == q.tail || int(q.inFlight) >= window || q.next-q.head >= min(maxSpan-1, uint64(window)*span) {
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

// detach drops the entries when the connection has ended: the next one reads them from the store.
func (q *queue) detach() {
	for p := q.head; p < min(q.high, q.tail); p++ { // the store knows what is missing behind
		if x := q.at(p).state; x == done || x == received || x == released {
			q.mark(p, x)
		}
	}
	q.entries, q.first, q.inFlight, q.bytes = nil, 0, 0, len(q.marks)*markSize
	q.next, q.tail = q.head, q.head
}

// receive replaces the message at a position in flight by the knowledge that PUBREC has come.
func (q *queue) receive(position uint64, now time.Time) {
	q.replace(q.at(position), entry{qos: 2, state: received, sent: now})
}

func (q *queue) replace(old *entry, e entry) {
	q.bytes += e.size() - old.size()
	*old = e
}

func (q *queue) mark(position uint64, x state) {
	if q.marks == nil {
		q.marks = map[uint64]state{}
	}
	if _, has := q.marks[position]; !has {
		q.bytes += markSize
	}
	q.marks[position] = x
}

// state returns what is known of a position between head and high.
func (q *queue) state(position uint64) state {
	if position < q.tail {
		return q.at(position).state
	}
	return q.marks[position]
}

// encode appends the position of head, and those behind it that are done or whose PUBREC has come.
func (q *queue) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, q.head)
	last := q.head
	for p := q.head; p < q.high; p++ {
		var flag byte
		switch q.state(p) {
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

// decode sets an empty queue to what encode has appended.
func (q *queue) decode(b []byte) error {
	errDamaged := errors.New("acknowledged positions are damaged")
	r := record.Reader{Rest: b}
	head := r.Number()
	if r.Failed || head > math.MaxInt64 { // sums with it must not overflow
		return errDamaged
	}
	x := queue{rings: q.rings}
	x.start(head)
	for p := head; len(r.Rest) > 0; {
		n, flag := r.Number(), r.Byte()
		if r.Failed || n >= maxSpan-(p-head) { // positions in flight are never further apart
			return errDamaged
		}
		p += n
		x.mark(p, done)
		if flag == 1 {
			x.mark(p, released)
		}
		x.high = p + 1
	}
	*q = x
	return nil
}
