package core

// rings are the large rings that no queue uses: many queues are long for a moment.
type rings struct{ free [][]entry }

// smallRing is the largest ring, in entries, that an empty queue keeps; largeRing the largest that is kept for others,
// of which there are mostRings.
const (
	smallRing = 64
	largeRing = 4096
	mostRings = 16
)

// take returns a ring of at least n entries, which are to be overwritten.
func (r *rings) take(n int) []entry {
	if r != nil && n > smallRing {
		for i := len(r.free) - 1; i >= 0; i-- {
			if e := r.free[i]; len(e) >= n {
				last := len(r.free) - 1
				r.free[i], r.free[last] = r.free[last], nil
				r.free = r.free[:last]
				return e
			}
		}
	}
	return make([]entry, n)
}

// give keeps a ring, which holds no message, for other queues.
func (r *rings) give(e []entry) {
	if r != nil && len(e) > smallRing && len(e) <= largeRing && len(r.free) < mostRings {
		r.free = append(r.free, e)
	}
}
