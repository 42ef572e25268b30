package store

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/syndtr/goleveldb/leveldb/util"
)

// clock counts the time that the hub has been running, over its restarts. The age of a message is measured by it: a
// device whose wall clock jumps from 1970 to today must not find all its messages expired.
type clock struct {
	base  time.Duration // running time before this start
	start time.Time     // monotonic
}

func (c *clock) load(value []byte) {
	n, _ := binary.Uvarint(value)
	c.base, c.start = time.Duration(n), time.Now()
}

func (c *clock) now() time.Duration { return c.base + time.Since(c.start) }

// freeGuard asks the file system for its free space, at most once a second.
type freeGuard struct {
	asked time.Time
	ok    bool
}

func (g *freeGuard) enough(o Options) bool {
	if o.FreeSpace == nil || o.MinFree == 0 {
		return true
	}
	if time.Since(g.asked) >= time.Second {
		free, err := o.FreeSpace(o.Dir)
		g.ok = err != nil || free >= o.MinFree // a file system that can't be asked refuses by itself when it is full
		g.asked = time.Now()
	}
	return g.ok
}

// RunExpiry removes messages older than retention, in running time, every interval until ctx ends. It is the
// documented cap `cleanup`, and removes also what a session still needs; Stats.Expired counts.
func (s *Store) RunExpiry(ctx context.Context, retention, interval time.Duration) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			e := &expiry{ctx: ctx, s: s, retention: retention, done: make(chan struct{})}
			if s.Append(e) {
				<-e.done
			}
		}
	}
}

// expiry removes a bounded number of messages in a batch and queues itself again while there are more.
type expiry struct {
	ctx       context.Context
	s         *Store
	retention time.Duration
	done      chan struct{} // closed when all is removed that is old

	next    uint64 // number after the last that was looked at
	removed uint64
	more    bool
}

const expiryStep = 1000

// Write implements Op.
func (e *expiry) Write(tx *Tx) error {
	s := e.s
	tx.putClock()
	// It begins where the last one ended: what was removed before that leaves marks in the database for a while, which
	// are slow to pass.
	r := util.BytesPrefix([]byte{kindMessage})
	r.Start = key8(kindMessage, s.oldest)
	it := s.db.Load().NewIterator(r, nil)
	defer it.Release()
	e.next, e.removed = s.oldest, 0
	n := 0
	for now := s.clock.now(); n < expiryStep && it.Next(); n++ {
		stored, size := binary.Uvarint(it.Value())
		if size > 0 && now-time.Duration(stored)*time.Second <= e.retention {
			break
		}
		seq := binary.BigEndian.Uint64(it.Key()[1:])
		e.next = seq + 1
		if s.needs.get(seq) == 0 {
			continue // released in this very batch
		}
		tx.remove(seq)
		e.removed++
	}
	e.more = n == expiryStep
	return it.Error()
}

// Committed implements Op.
func (e *expiry) Committed(err error) {
	if err == nil {
		e.s.oldest = e.next
		e.s.stats.Expired.Add(e.removed)
		if e.more && e.ctx.Err() == nil && e.s.Append(e) {
			return
		}
	}
	close(e.done)
}
