package baetyl

import (
	"context"
	"time"

	"github.com/baetyl/baetyl/utils/run"
)

// Report is a part of a module that reports what stats returns to the master, every interval, until its context ends. A
// report that fails is logged at level debug, since a module may run without a master.
func Report(c Context, interval time.Duration, stats func() map[string]any) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := c.Master(); err != nil {
			<-ctx.Done()
			return nil
		}
		return run.Every(ctx, interval, func() {
			if err := c.ReportInstance(stats()); err != nil {
				c.Log().WithError(err).Debugf("report to master")
			}
		})
	}
}
