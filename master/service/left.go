package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/utils/state"
)

// readRecords returns what an earlier master left, as far as that can be known. An error is that of ctx.
func (m *Manager) readRecords(ctx context.Context) ([]Record, error) {
	l := m.opts.Log
	until := time.Now().Add(cmp.Or(m.opts.Reading, time.Minute))
	for n := 0; ; n++ {
		left, err := m.opts.Records.Left()
		final := errors.Is(err, state.ErrDamaged) || errors.Is(err, state.ErrNewer) || time.Now().After(until)
		if err != nil && final {
			l.WithError(err).Errorf("cannot read which instances an earlier master left; they are ended and start anew")
		}
		if err == nil || final {
			return left, nil
		}
		if n == 0 {
			l.WithError(err).Warnf("cannot read yet which instances an earlier master left; it is tried again")
		}
		timer := time.NewTimer(again.Delay(n, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("take over from an earlier master: %w", ctx.Err())
		case <-timer.C:
		}
	}
}
