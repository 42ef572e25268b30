// Package run runs the parts of a program together and stops them together.
//
//	Add(a) Add(b) Add(c) ─► Run(ctx): a, b, c run ─► one returns, or ctx ends ─► stop c, wait; stop b, wait; stop a, wait
package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Group is a set of parts. Its zero value is ready. It is used once, from one goroutine.
type Group struct{ parts []part }

type part struct {
	name string
	run  func(context.Context) error
}

// Add adds a part. run blocks until its context ends and then returns nil, or what went wrong while it stopped. name
// stands before its errors.
func (g *Group) Add(name string, run func(ctx context.Context) error) {
	g.parts = append(g.parts, part{name, run})
}

// Run starts the parts in the order of Add and blocks until ctx ends or one part returns. Then each is stopped and
// waited for in the reverse order, since a later part uses the earlier ones. It returns the first part's error, nil
// after the end of ctx, joined with what went wrong while stopping.
func (g *Group) Run(ctx context.Context) error {
	type result struct {
		i   int
		err error
	}
	first := make(chan result, len(g.parts)) // room for all: no part blocks when it reports
	cancels := make([]context.CancelFunc, len(g.parts))
	done := make([]chan struct{}, len(g.parts))
	errs := make([]error, len(g.parts))
	for i, p := range g.parts {
		// Not derived from ctx: its end must reach the parts one after the other.
		pctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancels[i], done[i] = cancel, make(chan struct{})
		go func() {
			defer close(done[i])
			if err := p.run(pctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = fmt.Errorf("%s: %w", p.name, err)
			}
			first <- result{i, errs[i]}
		}()
	}
	select {
	case <-ctx.Done():
	case <-first:
	}
	for i := len(g.parts) - 1; i >= 0; i-- {
		cancels[i]()
		<-done[i]
	}
	return errors.Join(errs...)
}

// Together makes one part of several that need no order among them. They stop at the same time; an error of one is
// returned when ctx has ended and all have returned.
func Together[P interface{ Run(context.Context) error }](parts []P) func(context.Context) error {
	return func(ctx context.Context) error {
		errs := make([]error, len(parts))
		var all sync.WaitGroup
		for i, p := range parts {
			all.Go(func() { errs[i] = p.Run(ctx) })
		}
		<-ctx.Done()
		all.Wait()
		return errors.Join(errs...)
	}
}
