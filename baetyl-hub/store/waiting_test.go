package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// What waits for a session is known about, also after a restart, and nothing when it has all.
func TestWaiting(t *testing.T) {
	r := open(t, store.Options{})
	r.session(1, 2)
	require.Zero(t, r.Waiting(1))
	r.write(func(b *record.Batch) {
		for range 1000 {
			r.publish(b, strings.Repeat("x", 1000), 1)
		}
	})
	eventually(t, "an age", func() bool { return r.Waiting(1).Oldest > 0 })
	require.InDelta(t, 1_000_000, r.Waiting(1).Bytes, 50_000)
	r.ack(1, 900)
	require.InDelta(t, 100_000, r.Waiting(1).Bytes, 5_000)
	r = r.again()
	require.InDelta(t, 100_000, r.Waiting(1).Bytes, 5_000)
	require.Positive(t, r.Waiting(1).Oldest)
	r.ack(1, 1000)
	require.Zero(t, r.Waiting(1))
	require.Zero(t, r.Waiting(2))
	require.Equal(t, store.Waiting{}, r.Waiting(3))
}
