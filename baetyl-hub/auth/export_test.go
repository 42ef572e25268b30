package auth

import (
	"context"
	"net/netip"
	"time"
)

// Limits that tests name.
const (
	RememberFor  = rememberFor
	MostFailures = mostFailures
)

// SetClock gives the gate another clock.
func (g *Gate) SetClock(now func() time.Time) { g.now = now }

// SetCheck gives the gate another bcrypt, and as many workers and places to wait.
func (g *Gate) SetCheck(workers, most int, check func(hash, password []byte) error) {
	g.queue, g.check = newQueue(workers, most), check
}

// Enter waits for a worker of the gate, as a login does.
func (g *Gate) Enter(ctx context.Context, from netip.Addr, failures int) error {
	return g.queue.enter(ctx, from, failures)
}

// Leave gives the worker back.
func (g *Gate) Leave() { g.queue.leave() }

// Waiting is the number of logins that wait.
func (g *Gate) Waiting() int {
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	return g.queue.count
}

// Len is the number of what is remembered.
func (f *Failures) Len() int { return f.order.Len() }
