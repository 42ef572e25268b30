package store

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// clock counts the running time of the hub, over its restarts. It measures the age of messages: if the wall clock of a
// device jumps from 1970 to today, its messages must not expire.
type clock struct {
	base  time.Duration // running time before this start
	start time.Time     // monotonic
}

func (c *clock) load(running time.Duration) { c.base, c.start = running, time.Now() }

func (c *clock) now() time.Duration { return c.base + time.Since(c.start) }

// room is what messages may still take.
type room struct {
	stored atomic.Int64 // Stats.Bytes
	grown  atomic.Int64 // bytes that the log has taken since the file system was asked

	scarce atomic.Bool // the file system has little room: no spares, and small segments, which are removed sooner

	mu    sync.Mutex // guards the fields below
	asked time.Time
	free  int64 // bytes of the file system above Options.MinFree; it may be negative
}

// Room returns the bytes that messages may still take: what is left of Options.MaxBytes when retained messages have so
// many, and of the file system above Options.MinFree, which is asked once a second; in between, what the log grows
// counts. math.MaxInt64 means no limit. Messages count with their segment: they all do as long as a session needs one
// of them. It may be called from any goroutine.
func (s *Store) Room(retained int64) int64 {
	left := int64(math.MaxInt64)
	if s.o.MaxBytes > 0 {
		left = max(0, s.o.MaxBytes-s.room.stored.Load()-retained)
	}
	if s.o.FreeSpace == nil {
		return left
	}
	r := &s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked.IsZero() || time.Since(r.asked) >= time.Second {
		r.grown.Store(0)
		r.free = math.MaxInt64 // if it is unknown, a write fails when the disk is full
		if free, err := s.o.FreeSpace(s.o.Dir); err == nil {
			r.free = int64(min(free, math.MaxInt64)) - int64(s.o.MinFree)
		}
		r.asked = time.Now()
		if scarce := r.free < 8*s.o.SegmentSize; r.scarce.Swap(scarce) != scarce && scarce {
			s.wakeUp()
		}
	}
	if s.o.MinFree == 0 {
		return left
	}
	return max(0, min(left, r.free-r.grown.Load()))
}

// limit returns the size of a segment, in bytes.
func (s *Store) limit() int64 {
	if s.room.scarce.Load() {
		return min(s.o.SegmentSize, scarceSize)
	}
	return s.o.SegmentSize
}

// RunExpiry removes messages older than retention, in running time of the hub, every interval until ctx ends: see
// `message.ingress.qos1.cleanup`. It also removes those that a session still needs, and gives expired the position
// of the oldest one that is left, by number, of each session that lost some. Read leaves them out as soon as they are
// too old; Stats.Expired counts them when their segment goes, at most a tenth of retention later.
func (s *Store) RunExpiry(
	ctx context.Context, retention, interval time.Duration, expired func(oldest map[uint64]uint64),
) error {
	s.retention.Store(int64(retention))
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if oldest := s.expire(retention); len(oldest) > 0 {
				expired(oldest)
			}
		}
	}
}

func (s *Store) expire(retention time.Duration) (oldest map[uint64]uint64) {
	now := s.clock.now()
	s.writing.Lock()
	if a := s.active; a != nil && a.at > headerSize && now-a.g.oldest > retention/10 {
		if err := s.seal(); err != nil {
			s.failedWrite(err)
		}
	}
	s.writing.Unlock()

	s.putClock()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.index
	var live map[*segment]int64
	oldest = map[uint64]uint64{}
	for _, g := range x.segments {
		if !g.sealed || g.needs == 0 || now-g.newest <= retention {
			continue
		}
		if live == nil {
			live = x.live(func(sum, n int64) int64 { return max(sum, n) })
		}
		s.expired.Add(uint64(live[g]))
		for _, at := range x.leave(g) {
			oldest[at.number] = at.oldest()
		}
	}
	if live != nil {
		s.room.stored.Store(x.bytes)
		s.wakeUp()
	}
	return oldest
}

// tooOld tells whether a message that was stored then is left out by Read.
func (s *Store) tooOld(stored time.Duration) bool {
	retention := time.Duration(s.retention.Load())
	return retention > 0 && s.clock.now()-stored > retention
}

// Run does in the background what need not be done before Write returns, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var tick <-chan time.Time
	if s.o.Sync == SyncInterval {
		t := time.NewTicker(s.o.Interval)
		defer t.Stop()
		tick = t.C
	}
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			s.syncIdle()
			continue
		case <-s.work:
		case <-again.C:
		}
		again.Reset(time.Hour)
		if s.maintain(ctx) {
			again.Reset(againInterval)
		}
	}
}

// againInterval is the time after which Run tries again what has failed, and between two considerations of what is to
// be compacted.
const againInterval = time.Second

// syncIdle syncs what was written since the last sync, if no batch has come that would do it.
func (s *Store) syncIdle() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.active == nil || !s.active.dirty || time.Since(s.synced) < s.o.Interval {
		return
	}
	if err := s.sync(); err != nil {
		s.failedWrite(err)
	}
}

// maintain writes a checkpoint if it is due, and removes and compacts segments. It tells whether to do it again soon.
func (s *Store) maintain(ctx context.Context) (again bool) {
	s.mu.Lock()
	due := s.index.due()
	s.mu.Unlock()
	var err error
	if due {
		err = s.checkpoint()
	}
	s.removeUnneeded()
	if s.room.scarce.Load() {
		s.removeSpares()
	}
	return s.compactAll(ctx) || err != nil
}

// due tells whether a checkpoint is worth its cost: there is much to write, or a segment could be removed after it.
func (x *index) due() bool {
	if x.changes.size > checkpointSize {
		return true
	}
	for _, g := range x.segments {
		if g.sealed && !x.safe.covers(g) {
			return true
		}
	}
	return false
}
