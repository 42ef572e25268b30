package update

import (
	"context"
	"time"

	"github.com/baetyl/baetyl/utils/backoff"
)

// retry is the delay between attempts: from poll to a minute.
func (u *Updater) retry() backoff.Policy {
	return backoff.Policy{Min: u.poll(), Max: time.Minute, Jitter: 0.2}
}

func (u *Updater) poll() time.Duration {
	if u.Poll <= 0 {
		return Poll
	}
	return u.Poll
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
