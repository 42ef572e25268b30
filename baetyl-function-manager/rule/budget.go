package rule

import "sync"

// Budget is the memory for messages that wait in the manager, of all rules. NewBudget makes one.
//
// A QoS 0 message that finds no room is dropped. One of QoS 1 waits for room, which holds up the ones behind it: the
// hub keeps those.
type Budget struct {
	max int // bytes

	mu    sync.Mutex
	freed sync.Cond
	used  int
}

// NewBudget returns a budget of max bytes.
func NewBudget(max int) *Budget {
	b := &Budget{max: max}
	b.freed.L = &b.mu
	return b
}

// Used is how many bytes are taken.
func (b *Budget) Used() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// share is what one rule has of a budget.
type share struct {
	budget *Budget
	used   int  // guarded by budget.mu
	closed bool // the same
}

// fits tells whether a rule gets size bytes more. A rule may have four times what is left for others, so that a burst
// of one takes most of the budget, and not all of it. Called under mu.
func (s *share) fits(size int) bool {
	return s.used+size <= 4*(s.budget.max-s.budget.used-size)
}

// take takes size bytes. If there is no room, it waits for it, or returns false. A rule that has nothing gets what it
// asks for, so that no message is too large for ever. It returns false after close.
func (s *share) take(size int, wait bool) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for !s.closed && !s.fits(size) && s.used > 0 {
		if !wait {
			return false
		}
		b.freed.Wait()
	}
	if s.closed {
		return false
	}
	b.used += size
	s.used += size
	return true
}

// add takes bytes, whether there is room or not.
func (s *share) add(size int) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.budget.used += size
	s.used += size
}

// free gives bytes back.
func (s *share) free(size int) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.budget.used -= size
	s.used -= size
	s.budget.freed.Broadcast()
}

// close ends every wait in take.
func (s *share) close() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.closed = true
	s.budget.freed.Broadcast()
}
