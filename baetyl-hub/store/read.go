package store

import (
	"fmt"
	"os"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// Read returns stored messages of a session from a position on that are not acknowledged, in order: at most so many
// messages, and no more once they have so many bytes. next is the position to go on from: what is missing between from
// and next is gone. After an error the caller should try again later. It may be called from any goroutine.
func (s *Store) Read(session, from uint64, messages, bytes int) (entries []record.Entry, next uint64, err error) {
	r := reading{s: s, session: session, now: s.clock.now(), position: from, messages: messages, bytes: bytes}
	for r.messages > 0 && r.bytes > 0 {
		p, at, end, ok := s.pin(session, &r.position)
		if !ok {
			break
		}
		at, err := r.read(p, at, end)
		s.unpin(session, p.in, r.position, at)
		if err != nil && len(r.entries) == 0 {
			return nil, from, fmt.Errorf("read %s: %w", s.path(p.in.number), err)
		}
		if err != nil {
			break
		}
	}
	return r.entries, r.position, nil
}

// pin returns the span with the first message from a position on, which it moves if there is none, the place of a frame
// to begin with, and where the frames end. Its file stays as it is until unpin.
func (s *Store) pin(session uint64, position *uint64) (p span, at, end int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		owner := s.index.sessions[session]
		if owner == nil {
			return span{}, 0, 0, false
		}
		*position = max(*position, owner.head)
		i := 0
		for i < len(owner.spans) && owner.spans[i].last < *position {
			i++
		}
		if i == len(owner.spans) {
			*position = max(*position, owner.tail)
			return span{}, 0, 0, false
		}
		p = owner.spans[i]
		if p.in.moving {
			s.moved.Wait()
			continue
		}
		p.in.readers++
		at = p.at
		if n := owner.next; n.in == p.in && n.from <= *position {
			at = max(at, n.at)
		}
		return p, at, p.in.end, true
	}
}

// unpin ends the use of a segment, and notes where the next Read of the session is likely to begin.
func (s *Store) unpin(session uint64, g *segment, position uint64, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.readers--
	if g.readers == 0 && g.moving {
		s.moved.Broadcast()
	}
	if g.readers == 0 && g.needs == 0 {
		s.wakeUp() // it can be removed
	}
	if owner := s.index.sessions[session]; owner != nil {
		owner.next = next{g, position, at}
	}
}

// reading is one call of Read.
type reading struct {
	s               *Store
	session         uint64
	now             time.Duration // by the clock
	position        uint64
	messages, bytes int // that it may still take
	entries         []record.Entry
	topic           string // of the last message: most are the same
}

// read takes the messages of a span, from the frame at at to the end of frames. It returns the place of the frame in
// which it ended.
func (r *reading) read(p span, at, end int64) (int64, error) {
	f, err := r.s.o.Disk.OpenFile(r.s.path(p.in.number), os.O_RDONLY, 0)
	if err != nil {
		return at, err
	}
	defer f.Close()
	buf := r.s.buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= spareBuffer {
			r.s.buffers.Put(buf)
		}
	}()
	done := false
	for {
		last := at
		stop, err := scan(f, p.in.mark, at, end, buf, func(x frame) bool {
			last = x.at
			r.frame(x, p.last)
			done = r.position > p.last || r.messages <= 0 || r.bytes <= 0
			return !done
		})
		if err != nil || done {
			return last, err
		}
		if stop < end {
			r.damaged(p, stop)
		}
		next, ok := passed(f, p.in.mark, stop, end)
		if !ok {
			r.position = p.last + 1
			return stop, nil
		}
		at = next
	}
}

// damaged counts a frame that can't be read, and says so.
func (r *reading) damaged(p span, at int64) {
	s := r.s
	s.mu.Lock()
	s.index.damaged++
	s.mu.Unlock()
	s.log.Warnf("store %s: %s is damaged at %d: messages in it are lost", s.o.Dir, segmentName(p.in.number), at)
}

// frame takes the messages of a frame up to position last.
func (r *reading) frame(x frame, last uint64) {
	old := r.s.tooOld(x.stored)
	for data := x.data; len(data) > 0 && r.messages > 0 && r.bytes > 0 && r.position <= last; {
		kind, body, rest, err := record.Next(data)
		if err != nil {
			return
		}
		data = rest
		if kind != record.KindPublish {
			continue
		}
		p, err := record.DecodePublish(body)
		if err != nil {
			continue
		}
		t, ok := p.Find(r.session, r.position)
		if !ok {
			continue
		}
		r.position = t.Position + 1
		if old {
			continue
		}
		m, err := p.Message()
		if err != nil {
			continue
		}
		if m.Topic == r.topic {
			m.Topic = r.topic
		}
		r.topic = m.Topic
		r.entries = append(r.entries, record.Entry{
			Position: t.Position, QOS: t.QOS, Retained: t.Retained, Targets: p.Len(), Message: m,
			Age: max(0, r.now-x.stored),
		})
		r.messages--
		r.bytes -= len(m.Payload) + len(m.Topic) + len(m.Properties)
	}
}
