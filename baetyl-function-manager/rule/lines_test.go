package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever happens in whatever order: messages of a line begin and finish in their order, no more than may be are with
// the function, and all of them finish.
func TestLines(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		narrow := 1 + r.IntN(3)
		depth := narrow + r.IntN(8)
		l := newLines(func() int { return depth }, func() int { return narrow })
		keys, total := 1+r.IntN(4), 200+r.IntN(200)
		number, with := map[*call]int{}, []*call{}
		added := map[string][]*call{}
		finished := map[string]int{}
		key := map[*call]string{}
		ordered := seed%5 > 0
		done := 0
		begin := func() {
			for c := l.next(); c != nil; c = l.next() {
				require.False(t, slices.Contains(with, c))
				with = append(with, c)
				if !ordered {
					continue
				}
				mine := added[key[c]][finished[key[c]]:]
				width := depth
				for _, other := range mine {
					if other.retrying {
						width = narrow
					}
				}
				require.Less(t, number[c]-finished[key[c]], width, "seed %d: too many of one line", seed)
				for _, other := range mine[:number[c]-finished[key[c]]] {
					require.True(t, other.running || other.ended, "seed %d: out of order", seed)
				}
			}
			require.LessOrEqual(t, len(with), callLimit)
		}
		take := func() *call {
			i := r.IntN(len(with))
			c := with[i]
			with = append(with[:i], with[i+1:]...)
			return c
		}
		for n := 0; n < total || len(with) > 0; {
			switch {
			case n < total && r.IntN(3) > 0:
				k := fmt.Sprint(r.IntN(keys))
				c := &call{}
				key[c], number[c] = k, len(added[k])
				added[k] = append(added[k], c)
				l.add(k, ordered, c)
				n++
			case len(with) == 0:
			case r.IntN(10) == 0: // an instance ends: some of its calls have begun, the rest has not
				for suspects := 1 + r.IntN(narrow); len(with) > 0 && r.IntN(8) > 0; suspects-- {
					c := with[0]
					if suspects > 0 || c.retrying {
						l.retry(c)
						with = append(with[1:], c)
						continue
					}
					with = with[1:]
					l.again(c)
				}
			default:
				c := take()
				for _, f := range l.end(c) {
					if ordered {
						require.Equal(t, number[f], finished[key[f]], "seed %d: it finishes out of order", seed)
					}
					finished[key[f]]++
					done++
				}
			}
			begin()
		}
		require.Equal(t, total, done, "seed %d", seed)
		require.Empty(t, l.byKey)
		require.Zero(t, l.begun)
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(1000)
	one, two := share{budget: b}, share{budget: b}
	require.True(t, one.take(5000, false), "a rule that has nothing gets what it asks for")
	require.False(t, one.take(1, false))
	one.free(5000)
	require.True(t, one.take(400, false))
	require.True(t, one.take(400, false))
	require.False(t, one.take(1, false), "four times what is left for others")
	require.True(t, two.take(100, false))
	require.False(t, two.take(100, false))
	waited := make(chan bool)
	go func() { waited <- two.take(100, true) }()
	one.free(800)
	require.True(t, <-waited)
	require.Equal(t, 200, b.Used())
	go func() { waited <- two.take(1000, true) }()
	two.close()
	require.False(t, <-waited)
}
