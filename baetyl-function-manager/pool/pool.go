// Package pool decides which instances of a function run and which call gets one. It is pure logic: values and times go
// in, actions come out; it starts no process, no goroutine and no timer, and holds no lock.
//
//	         Start                Started              Grant
//	free ───────────► starting ───────────► idle ◄───────────────► busy
//	 ▲                   │ StartFailed        │      Release          │
//	 ├───────────────────┘                    │ Tick, Broken, Close   │ Broken, Close
//	 └───────────Stopped────── stopping ◄─────┴───────────────────────┘
//
// It promises:
//   - Ids are 1 to Max; at most Max instances are starting, idle, busy or stopping at any time.
//   - Each id is given back: a failed start and a stop free it.
//   - At least Min instances run, from the first Tick on, as far as starts succeed.
//   - An instance has at most as many calls as it has room for, and as may wait in it. A call that asks for it has the
//     instance alone.
//   - Calls wait in an instance only if it is the only one there may be (Max 1): among several, a call would wait
//     behind a slow one while another instance is idle.
//   - Waiters are served in order. When a start fails and no instance runs or starts, all waiters get the error, so
//     none waits for ever. Each failure makes the delay before the next start longer.
package pool

import (
	"errors"
	"slices"
	"time"

	"github.com/baetyl/baetyl/utils/backoff"
)

// ErrClosed is the error of waiters when the pool is closed.
var ErrClosed = errors.New("Pool not open") // as Baetyl 0.1.x says

// Config of a pool.
type Config struct {
	Min, Max int            // instances
	Idle     time.Duration  // after which an unused instance above Min is stopped
	Backoff  backoff.Policy // delays of starts after failed starts
}

// slot is the place of one instance in the pool.
type slot struct {
	state State
	since time.Time // of the state
	room  int       // how many calls at once the instance handles
	queue int       // how many more may wait in it
	calls int       // how many it has
	alone bool      // its call wants no other beside it
}

type waiter[W comparable] struct {
	who   W
	alone bool
}

// Pool is the state of one function's instances. W identifies a waiter. The caller has the lock: methods must not run
// at the same time.
type Pool[W comparable] struct {
	cfg      Config
	slots    []slot // the one of id at id-1
	waiting  []waiter[W]
	count    [states]int
	room     int // of the instance that was started last
	failures int
	retryAt  time.Time // no instance is started before
	closed   bool
}

// New returns a pool without instances.
func New[W comparable](cfg Config) *Pool[W] {
	p := &Pool[W]{cfg: cfg, slots: make([]slot, cfg.Max), room: 1}
	p.count[Free] = cfg.Max
	return p
}

// Count returns the number of instances in a state.
func (p *Pool[W]) Count(s State) int { return p.count[s] }

// Waiting returns the number of waiters.
func (p *Pool[W]) Waiting() int { return len(p.waiting) }

// State returns the state of an instance.
func (p *Pool[W]) State(id int) State { return p.slots[id-1].state }

// Acquire adds a waiter. alone: its call may end the instance, so it must be the only one there.
func (p *Pool[W]) Acquire(w W, alone bool, now time.Time) []Action[W] {
	if p.closed {
		return []Action[W]{{Kind: Fail, Waiter: w, Err: ErrClosed}}
	}
	p.waiting = append(p.waiting, waiter[W]{w, alone})
	return p.settle(now)
}

// Cancel removes a waiter. It returns false if the waiter has been served already.
func (p *Pool[W]) Cancel(w W) bool {
	i := slices.IndexFunc(p.waiting, func(x waiter[W]) bool { return x.who == w })
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return true
}

// Started notes that the start of an instance has succeeded. room is how many calls at once it handles, at least 1;
// queue is how many more may wait in it.
func (p *Pool[W]) Started(id, room, queue int, now time.Time) []Action[W] {
	if p.State(id) != Starting {
		return nil
	}
	p.failures, p.retryAt, p.room = 0, time.Time{}, max(room, 1)
	p.set(id, Idle, now)
	p.slots[id-1].room = p.room
	if p.cfg.Max == 1 {
		p.slots[id-1].queue = queue
	}
	if p.closed {
		return p.stop(id, now)
	}
	return p.settle(now)
}

// StartFailed notes that the start of an instance has failed and left nothing behind. random, in [0,1), is the jitter
// of the delay before the next start.
func (p *Pool[W]) StartFailed(id int, err error, random float64, now time.Time) (out []Action[W]) {
	if p.State(id) != Starting {
		return nil
	}
	p.set(id, Free, now)
	p.retryAt = now.Add(p.cfg.Backoff.Delay(p.failures, random))
	p.failures++
	if p.count[Starting]+p.count[Idle]+p.count[Busy] == 0 {
		for _, w := range p.waiting {
			out = append(out, Action[W]{Kind: Fail, Waiter: w.who, Err: err})
		}
		p.waiting = nil
	}
	return append(out, p.settle(now)...)
}

// Release gives a granted place back.
func (p *Pool[W]) Release(id int, now time.Time) []Action[W] {
	if p.State(id) != Busy {
		return nil
	}
	s := &p.slots[id-1]
	s.calls--
	s.alone = false
	if s.calls > 0 {
		return p.settle(now)
	}
	p.set(id, Idle, now)
	if p.closed {
		return p.stop(id, now)
	}
	return p.settle(now)
}

// Broken notes that an instance cannot be used any more: its process ended, or it did not answer in time. Its calls
// have lost their places: no Release follows.
func (p *Pool[W]) Broken(id int, now time.Time) []Action[W] {
	if s := p.State(id); s != Busy && s != Idle {
		return nil
	}
	out := p.stop(id, now)
	out[0].Kill = true
	return append(out, p.settle(now)...)
}

// Stopped notes that an instance is gone.
func (p *Pool[W]) Stopped(id int, now time.Time) []Action[W] {
	if p.State(id) != Stopping {
		return nil
	}
	p.set(id, Free, now)
	return p.settle(now)
}

// Tick stops instances that were idle for too long, the longest first, and starts up to Min.
func (p *Pool[W]) Tick(now time.Time) (out []Action[W]) {
	if p.closed {
		return nil
	}
	for p.count[Starting]+p.count[Idle]+p.count[Busy] > p.cfg.Min {
		id := p.pick(Idle, func(a, b slot) bool { return a.since.Before(b.since) })
		if id == 0 || now.Sub(p.slots[id-1].since) < p.cfg.Idle {
			break
		}
		out = append(out, p.stop(id, now)...)
	}
	return append(out, p.settle(now)...)
}

// Wake returns when Tick should be called because a delayed start is due; ok is false when nothing is delayed.
func (p *Pool[W]) Wake() (at time.Time, ok bool) {
	return p.retryAt, !p.closed && p.wanted() > 0 && !p.retryAt.IsZero()
}

// Close fails all waiters and stops all instances, busy ones too; an instance that is starting is stopped when it has
// started.
func (p *Pool[W]) Close(now time.Time) (out []Action[W]) {
	if p.closed {
		return nil
	}
	p.closed = true
	for _, w := range p.waiting {
		out = append(out, Action[W]{Kind: Fail, Waiter: w.who, Err: ErrClosed})
	}
	p.waiting = nil
	for i := range p.slots {
		if s := p.slots[i].state; s == Idle || s == Busy {
			out = append(out, p.stop(i+1, now)...)
		}
	}
	return out
}

// wanted is how many more instances ought to run: as many as those who wait need beside the starting ones, and up to
// Min.
func (p *Pool[W]) wanted() int {
	need := (len(p.waiting) + p.room - 1) / p.room
	n := max(need-p.count[Starting], p.cfg.Min-p.count[Starting]-p.count[Idle]-p.count[Busy])
	return min(n, p.count[Free])
}

// settle gives instances to waiters: first the idle one that was used last, then the busy one that has the fewest
// calls. It starts the instances that are wanted.
func (p *Pool[W]) settle(now time.Time) (out []Action[W]) {
	if p.closed {
		return nil
	}
	for len(p.waiting) > 0 {
		w := p.waiting[0]
		id := p.pick(Idle, func(a, b slot) bool { return a.since.After(b.since) })
		if id != 0 {
			p.set(id, Busy, now)
		} else if !w.alone {
			id = p.pick(Busy, func(a, b slot) bool { return a.calls < b.calls })
		}
		if id == 0 {
			break
		}
		p.waiting = p.waiting[1:]
		s := &p.slots[id-1]
		s.calls++
		s.alone = w.alone
		out = append(out, Action[W]{Kind: Grant, ID: id, Waiter: w.who})
	}
	if now.Before(p.retryAt) {
		return out
	}
	for range p.wanted() {
		id := 1 + slices.IndexFunc(p.slots, func(s slot) bool { return s.state == Free })
		p.set(id, Starting, now)
		out = append(out, Action[W]{Kind: Start, ID: id})
	}
	return out
}

// pick returns the instance in a state, with a place left, that is before all others; 0 if there is none.
func (p *Pool[W]) pick(state State, before func(a, b slot) bool) int {
	best := 0
	for i, s := range p.slots {
		if s.state == state && s.calls < s.room+s.queue && !s.alone && (best == 0 || before(s, p.slots[best-1])) {
			best = i + 1
		}
	}
	return best
}

func (p *Pool[W]) stop(id int, now time.Time) []Action[W] {
	p.set(id, Stopping, now)
	return []Action[W]{{Kind: Stop, ID: id}}
}

func (p *Pool[W]) set(id int, s State, now time.Time) {
	p.count[p.slots[id-1].state]--
	p.count[s]++
	p.slots[id-1] = slot{state: s, since: now, room: p.slots[id-1].room, queue: p.slots[id-1].queue}
}
