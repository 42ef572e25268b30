package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/baetyl/baetyl/master/engine"
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
		timer := time.NewTimer(engine.Again.Delay(n, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("take over from an earlier master: %w", ctx.Err())
		case <-timer.C:
		}
	}
}

// Left tells whether an earlier master of this boot has left instances; false when nobody can tell. It is called before
// TakeOver.
func (m *Manager) Left() bool { return ModeLeft(m.opts.Records.file.Path, m.opts.Boot) != "" }

// ModeLeft returns the mode of the engine that has started the instances in the records at path, empty when none is of
// this boot or the file cannot be read. Another master may be writing it: nothing is changed.
func ModeLeft(path, boot string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var left []engine.Record
	if json.Unmarshal(data, &left) != nil { // the first element is that of package state
		return ""
	}
	for _, r := range left {
		if r.Engine != "" && r.Boot == boot {
			return r.Engine
		}
	}
	return ""
}
