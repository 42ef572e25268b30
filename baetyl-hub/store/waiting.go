package store

import "time"

// Waiting is what the store has for a session. It is known without reading the log, so it is about right: the messages
// of a segment count with their average size, and are as old as their place in it says.
type Waiting struct {
	Bytes  int64
	Oldest time.Duration // age of the oldest message; 0: there is none
}

// Waiting returns what a session still needs. It may be called from any goroutine.
func (s *Store) Waiting(session uint64) (w Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.index.sessions[session]
	if x == nil {
		return w
	}
	for i := range x.spans {
		p := &x.spans[i]
		live := p.live(x.head)
		if live <= 0 {
			continue
		}
		if p.in.messages > 0 {
			w.Bytes += live * p.in.bytes / p.in.messages
		}
		if w.Oldest == 0 {
			w.Oldest = max(0, s.clock.now()-p.stored(max(x.head, p.first)))
		}
	}
	return w
}

// stored estimates when the message at a position was stored, in running time.
func (p *span) stored(position uint64) time.Duration {
	from, size := float64(p.at)/float64(max(p.in.end, 1)), float64(p.last-p.first)+1
	part := from + (1-from)*float64(position-p.first)/size
	return p.in.oldest + time.Duration(part*float64(p.in.newest-p.in.oldest))
}
