package service

import (
	"context"
	"fmt"
)

// endFormer ends what an engine of another mode left with the keeper of this master: the mode was changed, and a master
// alone was started again. It returns the records of foreign that are left.
func (m *Manager) endFormer(ctx context.Context, foreign []Record) ([]Record, error) {
	f := m.opts.Former
	if f == nil {
		return foreign, nil
	}
	var theirs, rest []Record
	for _, r := range foreign {
		if r.Engine == f.Name() {
			theirs = append(theirs, r)
		} else {
			rest = append(rest, r)
		}
	}
	m.opts.Log.Warnf("the mode was %s when services were started: they are ended", f.Name())
	if err := f.Reap(ctx, enginesOf(theirs), nil); err != nil {
		return foreign, fmt.Errorf("end instances of mode %s: %w", f.Name(), err)
	}
	if err := f.Close(); err != nil {
		return rest, fmt.Errorf("end instances of mode %s: %w", f.Name(), err)
	}
	return rest, nil
}
