package log

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each key has its lines, up to those of all. What is left out is counted with the next line of the key, or, when the
// key is forgotten, of any.
func TestQuota(t *testing.T) {
	q := Quota[string]{Each: 2, All: 5}
	now := time.Unix(1e9, 0)
	line := func(key string, want bool, hidden int) {
		t.Helper()
		ok, n := q.Line(key, now)
		require.Equal(t, want, ok)
		require.EqualValues(t, hidden, n)
	}
	line("a", true, 0)
	line("a", true, 0)
	for range 7 {
		line("a", false, 0)
	}
	line("b", true, 0) // a's are not its own
	line("c", true, 0)
	line("d", true, 0)
	line("e", false, 0)
	line("b", false, 0)
	now = now.Add(time.Minute)
	line("a", true, 8) // with e's, which is not remembered
	line("f", true, 0)
	now = now.Add(time.Minute)
	line("g", true, 1) // b is forgotten
	line("b", true, 0)
}

// However many keys there are, it remembers few.
func TestQuotaForgets(t *testing.T) {
	q := Quota[int]{Each: 1, All: 10}
	now := time.Unix(1e9, 0)
	lines, hidden := 0, uint64(0)
	for i := range 100_000 {
		for range 2 {
			ok, n := q.Line(i, now)
			if hidden += n; ok {
				lines++
			}
		}
		require.LessOrEqual(t, len(q.keys), 20)
		if i%50 == 49 {
			now = now.Add(time.Minute)
		}
	}
	require.Equal(t, 20_000, lines)
	require.InDelta(t, 180_000, hidden, 200) // the last ones are still to be told
}
