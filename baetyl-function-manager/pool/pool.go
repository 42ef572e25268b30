// Package pool decides which instances of a function run and who gets one. It is pure logic: values and times go in, actions
// come out; it starts no process, no goroutine and no timer, and holds no lock.
//
//	         Start                Started              Grant
//	free ───────────► starting ───────────► idle ◄───────────────► busy
//	 ▲                   │ StartFailed        │      Release          │
//	 ├───────────────────┘                    │ idle time, Broken     │ Broken
//	 └───────────Stopped────── stopping ◄─────┴───────────────────────┘
//
// It promises:
//   - Ids are 1 to Max; at most Max instances are starting, idle, busy or stopping at any time.
//   - Each id is given back: a failed start and a stop free it.
//   - At least Min instances run, from the first Tick on, as far as starts succeed.
//   - Who waits is served in order; when a start fails and no instance lives, all who wait are told why, so nobody waits for
//     ever. Starts after a failure are delayed more and more.
package pool

import (
	"errors"
	"slices"
	"time"

	"github.com/baetyl/baetyl/utils/backoff"
)

// ErrClosed is what waiters get when the pool is closed.
var ErrClosed = errors.New("Pool not open") // the text of 2019

// Config of a pool.
type Config struct {
	Min, Max int
	Idle     time.Duration  // after which an unused instance above Min is stopped
	Backoff  backoff.Policy // of starts after a failed start
}

// State of an instance.
type State int

// States of an instance.
const (
	Free State = iota // there is none with this id
	Starting
	Idle
	Busy
	Stopping
	states
)

// String names a state.
func (s State) String() string {
	return [...]string{"free", "starting", "idle", "busy", "stopping"}[s]
}

// Kind of an action.
type Kind int

// Kinds of actions.
const (
	Start Kind = iota // start instance ID, then call Started or StartFailed
	Stop              // stop instance ID, then call Stopped
	Grant             // Waiter has instance ID, until it calls Release or Broken
	Fail              // Waiter gets no instance, because of Err
)

// Action is something that the caller has to do.
type Action[W comparable] struct {
	Kind   Kind
	ID     int
	Waiter W
	Err    error
}

type slot struct {
	state State
	since time.Time
}

// Pool is the state of one function's instances. W is what the caller knows a waiter by.
type Pool[W comparable] struct {
	cfg      Config
	slots    []slot // of id i+1
	waiting  []W
	count    [states]int
	failures int
	retryAt  time.Time // no start before it
	closed   bool
}

// New returns a pool without instances.
func New[W comparable](cfg Config) *Pool[W] {
	p := &Pool[W]{cfg: cfg, slots: make([]slot, cfg.Max)}
	p.count[Free] = cfg.Max
	return p
}

// Count returns the number of instances in a state.
func (p *Pool[W]) Count(s State) int { return p.count[s] }

// Waiting returns the number of waiters.
func (p *Pool[W]) Waiting() int { return len(p.waiting) }

// State returns the state of an instance.
func (p *Pool[W]) State(id int) State { return p.slots[id-1].state }

// Acquire adds a waiter.
func (p *Pool[W]) Acquire(w W, now time.Time) []Action[W] {
	if p.closed {
		return []Action[W]{{Kind: Fail, Waiter: w, Err: ErrClosed}}
	}
	p.waiting = append(p.waiting, w)
	return p.settle(now)
}

// Cancel takes a waiter back. It returns false if the waiter has been served already.
func (p *Pool[W]) Cancel(w W) bool {
	i := slices.Index(p.waiting, w)
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return true
}

// Started notes that the start of an instance has succeeded.
func (p *Pool[W]) Started(id int, now time.Time) []Action[W] {
	if p.State(id) != Starting {
		return nil
	}
	p.failures, p.retryAt = 0, time.Time{}
	p.set(id, Idle, now)
	if p.closed {
		return p.stop(id, now)
	}
	return p.settle(now)
}

// StartFailed notes that the start of an instance has failed and left nothing behind. random is for the jitter of the delay
// before the next start, in [0,1).
func (p *Pool[W]) StartFailed(id int, err error, random float64, now time.Time) (out []Action[W]) {
	if p.State(id) != Starting {
		return nil
	}
	p.set(id, Free, now)
	p.retryAt = now.Add(p.cfg.Backoff.Delay(p.failures, random))
	p.failures++
	if p.count[Starting]+p.count[Idle]+p.count[Busy] == 0 {
		for _, w := range p.waiting {
			out = append(out, Action[W]{Kind: Fail, Waiter: w, Err: err})
		}
		p.waiting = nil
	}
	return append(out, p.settle(now)...)
}

// Release gives a granted instance back.
func (p *Pool[W]) Release(id int, now time.Time) []Action[W] {
	if p.State(id) != Busy {
		return nil
	}
	p.set(id, Idle, now)
	if p.closed {
		return p.stop(id, now)
	}
	return p.settle(now)
}

// Broken notes that an instance is of no use any more: its process ended, or it did not answer in time.
func (p *Pool[W]) Broken(id int, now time.Time) []Action[W] {
	if s := p.State(id); s != Busy && s != Idle {
		return nil
	}
	out := p.stop(id, now)
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
		id := p.pick(func(a, b slot) bool { return a.since.Before(b.since) })
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

// Close fails all waiters and stops all instances, busy ones too; an instance that is starting is stopped when it has started.
func (p *Pool[W]) Close(now time.Time) (out []Action[W]) {
	if p.closed {
		return nil
	}
	p.closed = true
	for _, w := range p.waiting {
		out = append(out, Action[W]{Kind: Fail, Waiter: w, Err: ErrClosed})
	}
	p.waiting = nil
	for i := range p.slots {
		if s := p.slots[i].state; s == Idle || s == Busy {
			out = append(out, p.stop(i+1, now)...)
		}
	}
	return out
}

// wanted is how many more instances ought to run: one for each waiter that no starting one will serve, and up to Min.
func (p *Pool[W]) wanted() int {
	n := max(len(p.waiting)-p.count[Starting], p.cfg.Min-p.count[Starting]-p.count[Idle]-p.count[Busy])
	return min(n, p.count[Free])
}

// settle serves waiters from idle instances, the one used last first, and starts what is wanted.
func (p *Pool[W]) settle(now time.Time) (out []Action[W]) {
	if p.closed {
		return nil
	}
	for len(p.waiting) > 0 {
		id := p.pick(func(a, b slot) bool { return a.since.After(b.since) })
		if id == 0 {
			break
		}
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.set(id, Busy, now)
		out = append(out, Action[W]{Kind: Grant, ID: id, Waiter: w})
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

// pick returns the idle instance that is before all others, 0 if none is idle.
func (p *Pool[W]) pick(before func(a, b slot) bool) int {
	best := 0
	for i, s := range p.slots {
		if s.state == Idle && (best == 0 || before(s, p.slots[best-1])) {
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
	p.slots[id-1] = slot{s, now}
}
