package budget_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

const r = budget.Memory

// tree is a hub of 100 with two principals: a of 60, b without a limit.
func tree() (hub, a, b *budget.Account) {
	hub = budget.New("", nil, budget.Values{r: 100})
	return hub, budget.New("a", hub, budget.Values{r: 60}), budget.New("b", hub, budget.Values{})
}

// What is taken is taken from all accounts up to the hub's, or from none.
func TestTake(t *testing.T) {
	for name, x := range map[string]struct {
		a, b    int64 // taken before
		n       int64 // taken from a
		leaving int64
		by      string // who refuses; "-": nobody
	}{
		"room":                    {0, 0, 10, 0, "-"},
		"all":                     {0, 0, 60, 0, "-"},
		"more than all":           {0, 0, 61, 0, "a"},
		"nothing":                 {60, 40, 0, 0, "-"},
		"nothing when more is in": {61, 0, 0, 0, "-"},
		"the hub has not enough":  {10, 80, 20, 0, ""},
		"both have not enough":    {50, 50, 20, 0, "a"},
		"what is left to others":  {40, 0, 6, 2, "-"},
		"what others need":        {40, 0, 7, 2, "a"},
		"what others need of all": {0, 50, 27, 2, ""},
		"no sum overflows":        {10, 0, math.MaxInt64, 0, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			hub, a, b := tree()
			a.Load(r, x.a)
			b.Load(r, x.b)
			by := a.TakeLeaving(r, x.n, x.leaving)
			taken := x.n
			if x.by == "-" {
				require.Nil(t, by)
			} else {
				taken = 0
				require.NotNil(t, by)
				require.Equal(t, x.by, by.Name())
			}
			require.Equal(t, x.a+taken, a.Used(r))
			require.Equal(t, x.a+x.b+taken, hub.Used(r))
			require.Zero(t, hub.Used(budget.Disk))
		})
	}
}

// What a lower limit does not allow any more stays, and nothing is added to it.
func TestLowerLimit(t *testing.T) {
	_, a, _ := tree()
	require.Nil(t, a.Take(r, 50))
	a.SetLimits(budget.Values{r: 20})
	require.NotNil(t, a.Take(r, 1))
	require.EqualValues(t, 50, a.Used(r))
	a.Give(r, 31)
	require.Nil(t, a.Take(r, 1))
}

func TestGiveMoreThanThereIs(t *testing.T) {
	_, a, b := tree()
	require.Nil(t, a.Take(r, 5))
	require.Panics(t, func() { b.Give(r, 1) })
}

// What is refused is counted, and said once in each interval.
func TestRefuse(t *testing.T) {
	_, a, _ := tree()
	now := time.Unix(1e9, 0)
	require.True(t, a.Refuse(r, 1, now, time.Minute))
	require.False(t, a.Refuse(r, 5, now.Add(59*time.Second), time.Minute))
	require.True(t, a.Refuse(budget.Disk, 1, now.Add(59*time.Second), time.Minute))
	require.True(t, a.Refuse(r, 1, now.Add(time.Minute), time.Minute))
	require.EqualValues(t, 7, a.Refused(r))
}

// Random calls: nothing is ever negative or above a limit, and the hub has what its principals have.
func FuzzAccounts(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(2))
	f.Fuzz(func(t *testing.T, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		hub := budget.New("", nil, budget.Values{0: 50, 1: 1000})
		var all []*budget.Account
		var taken []budget.Values
		for range 1 + rnd.IntN(5) {
			all = append(all, budget.New("p", hub, budget.Values{0: rnd.Int64N(60), 1: rnd.Int64N(400)}))
			taken = append(taken, budget.Values{})
		}
		for range 500 {
			i, r := rnd.IntN(len(all)), budget.Resource(rnd.IntN(2))
			if rnd.IntN(2) == 0 && taken[i][r] > 0 {
				n := rnd.Int64N(taken[i][r] + 1)
				all[i].Give(r, n)
				taken[i][r] -= n
			} else if n := rnd.Int64N(100); all[i].TakeLeaving(r, n, rnd.Int64N(8)) == nil {
				taken[i][r] += n
			}
			for r := range budget.Count {
				sum := int64(0)
				for j, a := range all {
					require.Equal(t, taken[j][r], a.Used(r))
					require.True(t, a.Limit(r) == 0 || a.Used(r) <= a.Limit(r))
					sum += a.Used(r)
				}
				require.Equal(t, sum, hub.Used(r))
				require.True(t, hub.Limit(r) == 0 || sum <= hub.Limit(r))
			}
		}
	})
}
