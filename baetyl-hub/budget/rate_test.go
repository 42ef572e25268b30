package budget_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/utils/conf"
)

var start = time.Unix(1e9, 0)

// A burst of a second passes at once, then one message follows another at the rate.
func TestMessagesOfARate(t *testing.T) {
	b := budget.NewBucket(budget.Rate{Messages: 10})
	for range 10 {
		require.Zero(t, b.Wait(start, 100))
		b.Take(start, 100)
	}
	for i := range 5 {
		require.Equal(t, time.Duration(i+1)*100*time.Millisecond, b.Wait(start, 1))
		b.Take(start, 1)
	}
	require.Zero(t, b.Wait(start.Add(600*time.Millisecond), 1))
	for range 10 { // no more than a burst is saved up
		require.Zero(t, b.Wait(start.Add(time.Hour), 1))
		b.Take(start.Add(time.Hour), 1)
	}
	require.Positive(t, b.Wait(start.Add(time.Hour), 1))
}

// A message that is larger than what passes in a second waits until the debts are paid, and makes new ones.
func TestLargeMessages(t *testing.T) {
	b := budget.NewBucket(budget.Rate{Bytes: 1000})
	require.Zero(t, b.Wait(start, 5000))
	b.Take(start, 5000)
	require.Equal(t, 5*time.Second, b.Wait(start, 5000))
	require.Equal(t, 4500*time.Millisecond, b.Wait(start, 500))
	require.Zero(t, b.Wait(start.Add(5*time.Second), math.MaxInt32))
	b.Take(start, math.MaxInt32)
	require.Positive(t, b.Wait(start.Add(24*time.Hour), 1))
}

func TestNoRate(t *testing.T) {
	b := budget.NewBucket(budget.Rate{})
	b.Take(start, 1<<28)
	require.Zero(t, b.Wait(start, 1<<28))
	require.Equal(t, budget.Rate{Messages: 1, Bytes: 3}, budget.Rate{Messages: 1}.Or(budget.Rate{Messages: 2, Bytes: 3}))
}

// Who takes only what need not wait, whenever that is, gets no more than rate and burst, and all of the rate.
func FuzzRate(f *testing.F) {
	f.Add(uint64(1), 10, int64(1000))
	f.Add(uint64(2), 0, int64(1))
	f.Add(uint64(3), math.MaxInt32, int64(0))
	f.Add(uint64(4), math.MaxInt32, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, seed uint64, messages int, bytes int64) {
		if messages < 0 || bytes < 0 || messages == 0 && bytes == 0 {
			return
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		b := budget.NewBucket(budget.Rate{Messages: messages, Bytes: conf.Size(bytes)})
		now, n, size := start, 0.0, 0.0
		for range 200 {
			x := 1 + rnd.IntN(3000)
			w := b.Wait(now, x)
			require.GreaterOrEqual(t, w, time.Duration(0))
			now = now.Add(w)
			require.Zero(t, b.Wait(now, x))
			if rnd.IntN(2) == 0 {
				b.Take(now, x)
				n++
				size += float64(x)
			}
			now = now.Add(time.Duration(rnd.IntN(3)) * 10 * time.Millisecond)
			passed := now.Sub(start).Seconds() + 1
			require.True(t, messages == 0 || n <= passed*float64(messages)*1.001+1)
			require.True(t, bytes == 0 || size <= passed*float64(bytes)*1.001+3000)
		}
	})
}
