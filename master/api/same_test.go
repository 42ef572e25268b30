package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What fails again and again for one reason is written once in an hour, with how often it did; another reason at once.
func TestSameFailures(t *testing.T) {
	var all lines
	of := line{"manager", "startInstance failed"}
	now := time.Now()
	written := func(after time.Duration, reason string) (before int, ok bool) {
		before, _, ok = all.next(of, reason, changesLogged, now.Add(after))
		return before, ok
	}
	for _, c := range []struct {
		after  time.Duration
		reason string
		before int
		ok     bool
	}{
		{0, "a", 0, true},
		{time.Second, "a", 0, false},
		{2 * linesEvery, "a", 0, false},
		{3 * linesEvery, "b", 2, true},
		{4 * linesEvery, "a", 0, true},
		{sameEvery, "a", 0, false},
		{sameEvery + 4*linesEvery, "a", 1, true},
	} {
		before, ok := written(c.after, c.reason)
		require.Equal(t, c.ok, ok, c)
		require.Equal(t, c.before, before, c)
	}
	for range 3 {
		_, _, ok := all.next(line{"x", "startInstance"}, "", changesLogged, now)
		require.True(t, ok, "what is done has a line each time")
	}
}
