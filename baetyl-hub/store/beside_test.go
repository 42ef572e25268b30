package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// Read, Stats and Room work beside Write, while segments are removed and compacted: each session gets its messages in
// order and without a gap.
func TestReadBesideWrite(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 16 << 10, Sync: store.SyncNone})
	r.stop() // Maintain does what Run does, more often
	const sessions, each = 4, 3000
	var acked [sessions + 1]atomic.Uint64
	r.session(1, 2, 3, 4)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				r.Maintain()
				r.Stats()
				r.Room(0)
			}
		}
	})
	read := func(n uint64) {
		position := uint64(0)
		for position < each {
			list, next, err := r.Read(n, position, 50, 10000)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range list {
				if e.Position != position || string(e.Message.Payload) != fmt.Sprintf("message %d of %d", position, n) {
					t.Errorf("session %d: %d has %d: %s", n, position, e.Position, e.Message.Payload)
					return
				}
				position++
			}
			if next != position {
				t.Errorf("session %d: after %d comes %d", n, position, next)
				return
			}
			if n > 1 || position == each { // the first one acknowledges at the end only
				acked[n].Store(position)
			}
		}
	}
	var readers sync.WaitGroup
	for n := range uint64(sessions) {
		readers.Go(func() { read(n + 1) })
	}
	for i := range each {
		r.write(func(b *record.Batch) {
			for n := range uint64(sessions) {
				r.publish(b, fmt.Sprintf("message %d of %d", i, n+1), n+1)
				b.Acked(n+1, number(acked[n+1].Load()), false)
			}
		})
	}
	readers.Wait()
	close(done)
	wg.Wait()
	r.write(func(b *record.Batch) {
		for n := range uint64(sessions) {
			b.Acked(n+1, number(each), false)
		}
	})
	require.Zero(t, r.Stats().Messages)
	require.Zero(t, r.Stats().Bytes)
	require.NoError(t, r.Close())
}
