package store

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/syndtr/goleveldb/leveldb/util"
)

// clock counts the running time of the hub, over its restarts. It measures the age of messages: if the wall clock of a
// device jumps from 1970 to today, its messages must not expire.
type clock struct {
	base  time.Duration // running time before this start
	start time.Time     // monotonic
}

func (c *clock) load(value []byte) {
	n, _ := binary.Uvarint(value)
	c.base, c.start = time.Duration(n), time.Now()
}

func (c *clock) now() time.Duration { return c.base + time.Since(c.start) }

// freeGuard checks the free space of the file system, at most once a second.
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
		g.ok = err != nil || free >= o.MinFree // if it is unknown, a write fails when the disk is full
		g.asked = time.Now()
	}
	return g.ok
}

// RunExpiry removes messages older than retention, in running time of the hub, every interval until ctx ends: see
// `message.ingress.qos1.cleanup`. It also removes those that a session still needs. Stats.Expired counts them.
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

// expiry removes at most expiryStep messages in a batch and queues itself again while there are more.
type expiry struct {
	ctx       context.Context
	s         *Store
	retention time.Duration
	done      chan struct{} // closed when all old messages are removed

	next    uint64 // number after the last one that was checked
	removed uint64
	more    bool
}

const expiryStep = 1000

// Write implements Op.
func (e *expiry) Write(tx *Tx) error {
	s := e.s
	tx.putClock()
	// It begins where the last one ended: goleveldb keeps markers of deleted records for a while, and passing them is
	// slow.
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
			continue // released in this batch
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
