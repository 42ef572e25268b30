package store_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

// How long a session has had no connection is in running time of the hub: while it does not run, nothing passes, and
// the clock of the machine may jump.
func TestUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		write := func(s *store.Store, f func(b *record.Batch)) {
			var b record.Batch
			f(&b)
			require.NoError(t, s.Write(&b))
		}
		s, err := store.Open(store.Options{Dir: dir})
		require.NoError(t, err)
		load(t, s)
		write(s, func(b *record.Batch) {
			for n, id := range []string{"left", "connected", "unknown"} {
				b.PutSession(uint64(n+1), id, "u")
			}
			b.Used(1, false)
			b.Used(2, true)
			b.Used(99, true) // there is no such session
		})
		time.Sleep(time.Hour)
		require.NoError(t, s.Close())
		time.Sleep(50 * 365 * 24 * time.Hour)

		for range 2 {
			s, err = store.Open(store.Options{Dir: dir})
			require.NoError(t, err)
			c := load(t, s)
			require.True(t, c.sessions[1].Left)
			require.InDelta(t, time.Hour, c.sessions[1].Idle, float64(2*time.Second))
			require.False(t, c.sessions[2].Left)
			require.False(t, c.sessions[3].Left)
			require.NotContains(t, c.sessions, uint64(99))
			require.NoError(t, s.Close())
		}
		time.Sleep(time.Minute) // in which goleveldb ends its goroutines
	})
}
