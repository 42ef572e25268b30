package logs

import (
	"context"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// checkInterval is how often a file is looked at while somebody follows it, for changes that the system tells nobody.
const checkInterval = 2 * time.Second

// follow sends the lines of h, and then those that come, until ctx ends or send fails, or until h.want.until is over.
// changed says that the file may have changed.
func (h *history) follow(ctx context.Context, changed <-chan struct{}, send func(masterapi.LogLine) error) error {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	var over <-chan time.Time
	if !h.want.until.IsZero() {
		timer := time.NewTimer(time.Until(h.want.until))
		defer timer.Stop()
		over = timer.C
	}
	for last := false; ; {
		for l, ok := h.take(); ok; l, ok = h.take() {
			if err := send(l); err != nil {
				return err
			}
		}
		renewed, err := h.renew()
		switch {
		case err != nil:
			return err
		case renewed:
			continue
		case last:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-check.C:
		case <-over:
			last = true
		}
	}
}
