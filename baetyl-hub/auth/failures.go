package auth

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// mostFailures is how many addresses, and pairs of address and user, are remembered. The oldest are forgotten first.
	mostFailures = 8192
	// failuresFor is how long a refused login counts.
	failuresFor = 10 * time.Minute
	// firstDelay is the first delay. Each further refusal doubles it.
	firstDelay = 100 * time.Millisecond
	// freeOfUser and freeOfAddress are refusals that are answered at once: people mistype, and many clients may share an
	// address.
	freeOfUser, freeOfAddress = 2, 20
)

// Failures counts refused logins by address, and by address and user name, and says how long the answer to one has to
// wait. What one address does delays no other one, and no login that is right. Its methods may be called from any
// goroutine.
type Failures struct {
	longest time.Duration
	seed    maphash.Seed

	mu    sync.Mutex
	found map[failing]*list.Element // values of order
	order list.List                 // of *failure, the newest first
}

// failing is what failures are counted by. A name can be long, so it is a hash; 0: all users.
type failing struct {
	from netip.Addr
	user uint64
}

type failure struct {
	of    failing
	count int
	last  time.Time
}

// NewFailures returns a Failures whose delays grow to longest; 0: there are none.
func NewFailures(longest time.Duration) *Failures {
	return &Failures{longest: longest, seed: maphash.MakeSeed(), found: map[failing]*list.Element{}}
}

// Refused counts a refused login and returns the time that its answer has to wait.
func (f *Failures) Refused(from netip.Addr, user string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	byUser := f.count(failing{from, f.hash(user)}, now)
	byAddress := f.count(failing{from, 0}, now)
	return max(delay(byUser-freeOfUser, f.longest), delay(byAddress-freeOfAddress, f.longest))
}

// Of returns how many logins of a user at an address have been refused.
func (f *Failures) Of(from netip.Addr, user string, now time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.found[failing{from, f.hash(user)}]; e != nil && now.Sub(e.Value.(*failure).last) <= failuresFor {
		return e.Value.(*failure).count
	}
	return 0
}

// Accepted forgets the failures of a user at an address. Those of the address stay: one account must not clear it.
func (f *Failures) Accepted(from netip.Addr, user string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.found[failing{from, f.hash(user)}]; e != nil {
		f.forget(e)
	}
}

// delay is the time that the answer to the n-th refusal after the free ones has to wait.
func delay(n int, longest time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(firstDelay<<min(n-1, 20), longest)
}

func (f *Failures) hash(user string) uint64 { return maphash.String(f.seed, user) | 1 }

func (f *Failures) count(of failing, now time.Time) int {
	e := f.found[of]
	if e == nil {
		e = f.order.PushFront(&failure{of: of})
		f.found[of] = e
	}
	x := e.Value.(*failure)
	if now.Sub(x.last) > failuresFor {
		x.count = 0
	}
	x.count++
	x.last = now
	f.order.MoveToFront(e)
	if f.order.Len() > mostFailures {
		f.forget(f.order.Back())
	}
	return x.count
}

func (f *Failures) forget(e *list.Element) {
	delete(f.found, f.order.Remove(e).(*failure).of)
}
