package store

import (
	"sync/atomic"
	"time"
)

// syncBounds are the upper bounds of SyncTimes.Below.
var syncBounds = [...]time.Duration{
	100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond,
	30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
}

// SyncTimes says how long the disk took for the syncs of the log since the start, failed ones included.
type SyncTimes struct {
	Count   uint64
	Sum     time.Duration
	Longest time.Duration
	Below   map[time.Duration]uint64 // syncs that took at most that long
}

// times counts syncs. One goroutine at a time calls add.
type times struct {
	sum, longest atomic.Int64 // nanoseconds
	counts       [len(syncBounds) + 1]atomic.Uint64
}

func (t *times) add(d time.Duration) {
	t.sum.Add(int64(d))
	t.longest.Store(max(t.longest.Load(), int64(d)))
	i := 0
	for i < len(syncBounds) && d > syncBounds[i] {
		i++
	}
	t.counts[i].Add(1)
}

// SyncTimes returns the current numbers. It may be called from any goroutine.
func (s *Store) SyncTimes() SyncTimes {
	t := &s.times
	out := SyncTimes{
		Sum: time.Duration(t.sum.Load()), Longest: time.Duration(t.longest.Load()), Below: map[time.Duration]uint64{},
	}
	for i := range t.counts {
		out.Count += t.counts[i].Load()
		if i < len(syncBounds) {
			out.Below[syncBounds[i]] = out.Count
		}
	}
	return out
}
