package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// BenchmarkAppend is a thousand publications that wait together: a message each, and its acknowledgement.
func BenchmarkAppend(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), BatchOps: 50})
	require.NoError(b, err)
	require.NoError(b, s.Load(store.Visitor{}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	const together = 1000
	told := make(chan error, together)
	var ops []store.Op
	for range together {
		var seq uint64
		ops = append(ops, &op{
			func(tx *store.Tx) error {
				tx.Release(seq)
				seq = tx.PutMessage(message("topic", "a payload as a sensor sends it"), targets(1))
				return nil
			}, func(err error) { told <- err }})
	}
	for b.Loop() {
		s.Append(ops...)
		for range together {
			if err := <-told; err != nil {
				b.Fatal(err)
			}
		}
	}
	cancel()
	require.NoError(b, <-ended)
	require.NoError(b, s.Close())
}
