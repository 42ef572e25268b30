package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
)

// Errors of logins that are not checked: nothing is known of their password.
var (
	// ErrBusy drops a login because too many wait, or because it has waited until its deadline.
	ErrBusy = errors.New("too many logins wait to be checked")
	// ErrGone drops a login whose client has left meanwhile.
	ErrGone = errors.New("the client has left before its login was checked")
)

// queue lets a few work at a time. The others wait, address by address: one that brings many logins is served between
// the others, not before them. Of one address, those come first that have failed the fewest times.
//
//	enter ─► a worker is free ─────────────────────────► work ─► leave
//	     └─► wait in the line of the address ─► leave of another one ─┘
//	     └─► the queue is full: the last one of the longest line is dropped
type queue struct {
	most int // that wait

	mu    sync.Mutex
	free  int                      // workers
	count int                      // that wait
	lines map[netip.Addr][]*ticket // none is empty
	order []netip.Addr             // of lines: the first one is served next
}

// ticket is one that waits.
type ticket struct {
	failures int        // earlier ones, of its address and user
	called   chan error // one slot: nil, or why it is dropped
}

func newQueue(workers, most int) *queue {
	return &queue{most: most, free: workers, lines: map[netip.Addr][]*ticket{}}
}

// enter waits for a worker until ctx ends. With the result nil, leave must follow.
func (q *queue) enter(ctx context.Context, from netip.Addr, failures int) error {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	if q.count >= q.most && !q.dropFor(from) {
		q.mu.Unlock()
		return ErrBusy
	}
	t := &ticket{failures, make(chan error, 1)}
	if len(q.lines[from]) == 0 {
		q.order = append(q.order, from)
	}
	q.lines[from] = append(q.lines[from], t)
	q.count++
	q.mu.Unlock()
	select {
	case err := <-t.called:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case err := <-t.called:
		if err == nil {
			q.next()
		}
	default:
		q.remove(from, t)
	}
	return ErrBusy
}

// leave gives the worker to the next one.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

func (q *queue) next() {
	if q.count == 0 {
		q.free++
		return
	}
	from := q.order[0]
	t := q.lines[from][0]
	for _, x := range q.lines[from] {
		if x.failures < t.failures {
			t = x
		}
	}
	q.order = append(q.order[1:], from) // its next one comes after one of each other address
	q.remove(from, t)
	t.called <- nil
}

// dropFor makes room for one more of an address. It tells whether there is: not if that address has the longest line.
func (q *queue) dropFor(from netip.Addr) bool {
	longest := from
	for a, line := range q.lines {
		if len(line) > len(q.lines[longest])+1 {
			longest = a
		}
	}
	if longest == from {
		return false
	}
	line := q.lines[longest]
	t := line[len(line)-1]
	q.remove(longest, t)
	t.called <- ErrBusy
	return true
}

// remove takes one that waits out of the line of its address.
func (q *queue) remove(from netip.Addr, t *ticket) {
	line := q.lines[from]
	for i := range line {
		if line[i] == t {
			line = append(line[:i:i], line[i+1:]...)
			q.count--
			break
		}
	}
	if q.lines[from] = line; len(line) > 0 {
		return
	}
	delete(q.lines, from)
	for i, a := range q.order {
		if a == from {
			q.order = append(q.order[:i:i], q.order[i+1:]...)
			break
		}
	}
}
