package baetyl

import (
	"context"
	"time"
)

// Report is a part of a module that reports what stats returns to the master, every interval, until its context ends. A report that
// does not succeed is told to the log at level debug: a module runs without a master as well.
func Report(c Context, interval time.Duration, stats func() map[string]any) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := c.Master(); err != nil {
			<-ctx.Done()
			return nil
		}
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
				if err := c.ReportInstance(stats()); err != nil {
					c.Log().WithError(err).Debugf("report to master")
				}
			}
		}
	}
}
