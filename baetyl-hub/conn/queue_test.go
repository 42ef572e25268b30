package conn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/conn"
)

// A user for whom the hub has worked for a while rests as long, if others are there; else it goes on.
func TestUserRests(t *testing.T) {
	for name, x := range map[string]struct {
		work   []time.Duration
		shared bool
		rests  time.Duration
	}{
		"alone":  {[]time.Duration{time.Second}, false, 0},
		"little": {[]time.Duration{100 * time.Microsecond}, true, 0},
		"little, often": {[]time.Duration{200 * time.Microsecond, 200 * time.Microsecond, 200 * time.Microsecond, 200 * time.Microsecond},
			true, 600 * time.Microsecond},
		"much":      {[]time.Duration{2 * time.Millisecond}, true, 2 * time.Millisecond},
		"very much": {[]time.Duration{time.Second}, true, 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var q conn.Queue
				began := time.Now()
				for _, d := range x.work {
					q.Work(d, x.shared)
				}
				require.Equal(t, x.rests, time.Since(began))
			})
		})
	}
}

// Another user is there from the moment in which the hub works for it, and for a while after that.
func TestShared(t *testing.T) {
	g := newRig(t)
	at := time.Now().Add(time.Hour)
	require.False(t, g.Shared("u", at), "the first user")
	require.False(t, g.Shared("u", at.Add(time.Second)))
	require.True(t, g.Shared("v", at.Add(time.Second)))
	require.True(t, g.Shared("u", at.Add(time.Second)))
	require.True(t, g.Shared("u", at.Add(time.Second+conn.SharedFor-1)))
	require.False(t, g.Shared("u", at.Add(time.Second+conn.SharedFor)))
}
