package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// BenchmarkWrite is a batch of a thousand messages of 100 bytes for 50 sessions that acknowledge at once.
func BenchmarkWrite(b *testing.B) {
	for _, sync := range []string{store.SyncAlways, store.SyncNone} {
		b.Run(sync, func(b *testing.B) {
			r := open(b, store.Options{Sync: sync})
			var numbers []uint64
			for n := range uint64(50) {
				numbers = append(numbers, n+1)
			}
			r.session(numbers...)
			p := &record.Publication{
				Message: message("sensors/1/temperature", fmt.Sprintf("%100d", 1)), Targets: make([]record.Target, 1),
			}
			var batch record.Batch
			var position uint64
			var state []byte
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for range 20 {
					for _, n := range numbers {
						p.Targets[0] = record.Target{Session: n, Position: position, QOS: 1}
						batch.Publish(p)
					}
					position++
				}
				for _, n := range numbers {
					state = append(state[:0], number(position-5)...)
					batch.Acked(n, state, false)
				}
				if err := r.Write(&batch); err != nil {
					b.Fatal(err)
				}
			}
			r.stop()
			require.NoError(b, r.Close())
		})
	}
}

// BenchmarkRead is what a session reads that catches up, when nine of ten messages are for others.
func BenchmarkRead(b *testing.B) {
	r := open(b, store.Options{Sync: store.SyncNone})
	numbers := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	r.session(numbers...)
	const each = 10000
	for range each / 100 {
		r.write(func(batch *record.Batch) {
			for range 100 {
				for _, n := range numbers {
					r.publish(batch, "a payload as a sensor sends it, with some digits: 012345678901234567890123456789", n)
				}
			}
		})
	}
	from := uint64(0)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		list, next, err := r.Read(5, from, 100, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		n += len(list)
		if from = next; next == each {
			from = 0
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
	r.stop()
	require.NoError(b, r.Close())
}
