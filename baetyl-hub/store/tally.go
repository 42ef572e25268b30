package store

import "github.com/baetyl/baetyl/baetyl-hub/record"

// tally finds the messages of a segment that are needed, when it is read as a whole.
type tally struct {
	g     *segment
	heads map[uint64]uint64 // of the sessions that there are
	spans map[uint64]*span  // by session
}

func newTally(g *segment, heads map[uint64]uint64) *tally {
	return &tally{g, heads, map[uint64]*span{}}
}

// heads returns the position of the first message that each session needs.
func (x *index) heads() map[uint64]uint64 {
	heads := make(map[uint64]uint64, len(x.sessions))
	for n, s := range x.sessions {
		heads[n] = s.head
	}
	return heads
}

// frame takes the messages of a frame, which is to be at a place of t.g, and calls keep for each record that is needed.
func (t *tally) frame(f frame, at int64, keep func(record []byte)) {
	needed := false
	for data := f.data; len(data) > 0; {
		kind, body, rest, err := record.Next(data)
		if err != nil {
			break
		}
		if kind == record.KindPublish && t.publish(body, at) {
			needed = true
			if keep != nil {
				keep(data[:len(data)-len(rest)])
			}
		}
		data = rest
	}
	if !needed {
		return
	}
	if t.g.oldest == 0 {
		t.g.oldest = f.stored
	}
	t.g.newest = max(t.g.newest, f.stored)
}

func (t *tally) publish(body []byte, at int64) (needed bool) {
	p, err := record.DecodePublish(body)
	if err != nil {
		return false
	}
	targets := p.Targets()
	for x, ok := targets.Next(); ok; x, ok = targets.Next() {
		head, ok := t.heads[x.Session]
		if !ok || x.Position < head {
			continue
		}
		needed = true
		if s := t.spans[x.Session]; s == nil {
			t.spans[x.Session] = &span{in: t.g, first: x.Position, last: x.Position, at: at, count: 1, dirty: true}
		} else if x.Position > s.last {
			s.last = x.Position
			s.count++
		}
	}
	if needed {
		t.g.messages++
		t.g.bytes += int64(len(body))
	}
	return needed
}
