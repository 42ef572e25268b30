package store

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// index is what the store knows of the log without reading it. It is guarded by Store.mu.
type index struct {
	segments []*segment // rising numbers
	sessions map[uint64]*session
	highest  uint64 // number of a session that there ever was
	bytes    int64  // of messages in segments that are needed
	applied  place  // up to where the log is in the index

	changes changes    // of the state since the last checkpoint
	dirty   []*session // whose progress has changed since then
	safe    place      // up to where the log is in the state
	damaged int        // frames and records that can't be read
}

// place is a place in the log: an offset in the file with a mark.
type place struct {
	number uint64 // of the segment
	mark   uint64
	at     int64
}

// covers tells whether all of a segment that is not written any more lies before p.
func (p place) covers(g *segment) bool {
	return g.through < p.number || g.number == p.number && g.end <= p.at
}

// segment is a file of the log.
type segment struct {
	number, through uint64
	mark            uint64
	end             int64 // of the frames that count
	oldest, newest  time.Duration
	sealed          bool // not written any more

	needs    int   // spans in it
	messages int64 // stored in it since needs was 0
	bytes    int64 // of them

	readers int  // that have its file open
	moving  bool // its file is being replaced: no new readers
	dirty   bool // to be written with the next checkpoint
}

// session is where the messages of a session are.
type session struct {
	number uint64
	head   uint64 // no older message is needed
	tail   uint64 // position after the newest stored message
	acked  []byte // as given to Batch.Acked; nil: never
	spans  []span // those with messages that are needed, in order
	dirty  bool
	next   next
}

// span are the messages of a session in one segment.
type span struct {
	in          *segment
	first, last uint64 // positions
	at          int64  // frame of the first
	count       int64
	saved       bool // in the state, in this form or an older one
	dirty       bool
}

// next is where the last Read of a session ended.
type next struct {
	in   *segment
	from uint64 // position
	at   int64  // of a frame; those before it have nothing from that position on
}

func newIndex() index {
	return index{sessions: map[uint64]*session{}, changes: newChanges()}
}

// live estimates, for each segment, the messages that sessions still need, by adding up the spans in it with add.
func (x *index) live(add func(sum, n int64) int64) map[*segment]int64 {
	live := make(map[*segment]int64, len(x.segments))
	for _, s := range x.sessions {
		for i := range s.spans {
			p := &s.spans[i]
			live[p.in] = add(live[p.in], p.live(s.head))
		}
	}
	return live
}

// live is the number of messages in p that are not acknowledged, if there are no gaps between their positions.
func (p *span) live(head uint64) int64 {
	if head <= p.first {
		return p.count
	}
	return min(p.count, int64(p.last-head+1))
}

// session returns a session, which there is from now on.
func (x *index) session(number uint64) *session {
	s := x.sessions[number]
	if s == nil {
		s = &session{number: number}
		x.sessions[number] = s
		x.highest = max(x.highest, number)
	}
	return s
}

// oldest returns the position of the oldest message, tail if there is none.
func (s *session) oldest() uint64 {
	if len(s.spans) == 0 {
		return s.tail
	}
	return max(s.head, s.spans[0].first)
}

// bytes estimates how much of the log the session's messages are, from the average of each segment. live has the
// messages of each segment that sessions need, by their sum: what several need is shared.
func (s *session) bytes(live map[*segment]int64) (sum int64) {
	for i := range s.spans {
		p := &s.spans[i]
		if all := max(live[p.in], p.in.messages); all > 0 {
			sum += int64(float64(p.in.bytes) / float64(all) * float64(p.live(s.head)))
		}
	}
	return sum
}

func (x *index) touch(s *session) {
	if !s.dirty {
		s.dirty = true
		x.dirty = append(x.dirty, s)
	}
}

// push notes a message of a session, in the frame at a place of the newest segment. It tells whether it is needed.
func (x *index) push(s *session, g *segment, position uint64, at int64) bool {
	n := len(s.spans)
	if position < s.head || position == math.MaxUint64 || n > 0 && position <= s.spans[n-1].last {
		return false
	}
	s.tail = max(s.tail, position+1)
	x.touch(s)
	if n > 0 && s.spans[n-1].in == g {
		p := &s.spans[n-1]
		p.last, p.dirty = position, true
		p.count++
		return true
	}
	s.spans = append(s.spans, span{in: g, first: position, last: position, at: at, count: 1, dirty: true})
	g.needs++
	return true
}

// stored adds the size of a message that is needed.
func (x *index) stored(g *segment, size int) {
	g.messages++
	g.bytes += int64(size)
	x.bytes += int64(size)
}

// acknowledge moves the head of a session, and tells whether a segment that is not written any more lost a span.
func (x *index) acknowledge(s *session, head uint64) (freed bool) {
	s.head = max(s.head, head)
	s.tail = max(s.tail, s.head)
	x.touch(s)
	n := 0
	for n < len(s.spans) && s.spans[n].last < s.head {
		freed = freed || s.spans[n].in.sealed
		x.drop(s, &s.spans[n])
		n++
	}
	if n > 0 {
		s.spans = slices.Delete(s.spans, 0, n)
	}
	return freed
}

// drop ends the need for a span, which the caller removes.
func (x *index) drop(s *session, p *span) {
	if p.saved {
		x.changes.remove(keySpan(s.number, p.in.number))
	}
	x.release(p.in)
}

// release takes one span from a segment.
func (x *index) release(g *segment) {
	if g.needs--; g.needs == 0 {
		x.bytes -= g.bytes
		g.messages, g.bytes = 0, 0
	}
}

// discard removes a session with all that belongs to it.
func (x *index) discard(number uint64) {
	x.highest = max(x.highest, number)
	x.changes.discard(number)
	s := x.sessions[number]
	if s == nil {
		return
	}
	for i := range s.spans {
		x.release(s.spans[i].in)
	}
	s.spans = nil
	delete(x.sessions, number)
}

// leave removes the spans in a segment, and returns the sessions that had one.
func (x *index) leave(g *segment) (left []*session) {
	for _, s := range x.sessions {
		for i := range s.spans {
			if s.spans[i].in == g {
				x.drop(s, &s.spans[i])
				s.spans = slices.Delete(s.spans, i, i+1)
				x.touch(s)
				left = append(left, s)
				break
			}
		}
	}
	return left
}

// insert adds a span, which must have messages that are needed, in its place.
func (x *index) insert(s *session, p span) {
	i, _ := slices.BinarySearchFunc(s.spans, p.in.number, func(a span, n uint64) int {
		return cmp.Compare(a.in.number, n)
	})
	s.spans = slices.Insert(s.spans, i, p)
	p.in.needs++
	x.touch(s)
}
