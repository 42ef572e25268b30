// Package sample keeps the last value of a measurement, so that Get returns soon, however long measuring takes.
//
//	Get ─► young enough? ─► the kept value
//	           └ no ─► Run measures in its goroutine ─► Get waits a moment for it, else takes the kept value
//
// Nothing is measured while Get is not called.
package sample

import (
	"context"
	"sync"
	"time"
)

// Cache keeps the last value of one measurement.
type Cache[T any] struct {
	age     time.Duration // a younger value is not measured again
	timeout time.Duration // that Get waits for a new value
	measure func(context.Context) T
	wanted  chan struct{} // holds one request, which serves all callers of Get that wait

	mu    sync.Mutex
	value T
	taken time.Time
	fresh chan struct{} // closed and replaced with each new value
}

// New returns a cache of what measure returns. Get waits at most timeout for a value that is younger than age.
func New[T any](age, timeout time.Duration, measure func(ctx context.Context) T) *Cache[T] {
	return &Cache[T]{
		age:     age,
		timeout: timeout,
		measure: measure,
		wanted:  make(chan struct{}, 1),
		fresh:   make(chan struct{}),
	}
}

// Run measures when Get wants a new value, until ctx ends. It returns nil. One goroutine calls it, once.
func (c *Cache[T]) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wanted:
		}
		value := c.measure(ctx)
		c.mu.Lock()
		c.value, c.taken = value, time.Now()
		close(c.fresh)
		c.fresh = make(chan struct{})
		c.mu.Unlock()
	}
}

// Get returns the newest value; it is the zero value before the first measurement. It may be called from any goroutine.
func (c *Cache[T]) Get() T { return c.Within(c.timeout) }

// Within is Get with another time to wait at most.
func (c *Cache[T]) Within(timeout time.Duration) T {
	c.mu.Lock()
	if !c.taken.IsZero() && time.Since(c.taken) < c.age {
		defer c.mu.Unlock()
		return c.value
	}
	fresh := c.fresh
	c.mu.Unlock()
	select {
	case c.wanted <- struct{}{}:
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-fresh:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}
