package run

import (
	"context"
	"time"
)

// Every calls fn after each interval, more than 0, until ctx ends; then it returns nil. Calls do not overlap: while one
// takes longer than the interval, ticks are dropped.
func Every(ctx context.Context, interval time.Duration, fn func()) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			fn()
		}
	}
}
