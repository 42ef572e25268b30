package pool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-function-manager/pool"
	"github.com/baetyl/baetyl/utils/backoff"
)

var delays = backoff.Policy{Min: time.Second, Max: 8 * time.Second}

func at(seconds float64) time.Time {
	return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// text renders actions for comparison.
func text(actions []pool.Action[string]) (out []string) {
	for _, a := range actions {
		switch a.Kind {
		case pool.Start:
			out = append(out, fmt.Sprint("start ", a.ID))
		case pool.Stop:
			out = append(out, fmt.Sprint("stop ", a.ID))
		case pool.Grant:
			out = append(out, fmt.Sprint(a.Waiter, " gets ", a.ID))
		case pool.Fail:
			out = append(out, fmt.Sprint(a.Waiter, " fails: ", a.Err))
		}
	}
	return out
}

func TestLifeOfInstances(t *testing.T) {
	p := pool.New[string](pool.Config{Max: 2, Idle: time.Minute, Backoff: delays})
	require.Empty(t, p.Tick(at(0)))
	require.Equal(t, []string{"start 1"}, text(p.Acquire("a", false, at(0))))
	require.Equal(t, []string{"start 2"}, text(p.Acquire("b", false, at(0))))
	require.Empty(t, p.Acquire("c", false, at(0)), "max is 2")
	require.Equal(t, []string{"a gets 1"}, text(p.Started(1, 1, 0, at(1))))
	require.Equal(t, []string{"b gets 1"}, text(p.Release(1, at(2))))
	require.Equal(t, []string{"c gets 2"}, text(p.Started(2, 1, 0, at(3))))
	require.Empty(t, p.Release(1, at(4)))
	require.Empty(t, p.Release(2, at(5)))
	require.Equal(t, []string{"d gets 2"}, text(p.Acquire("d", false, at(6))), "the one used last")
	require.Empty(t, p.Tick(at(63)))
	require.Equal(t, []string{"stop 1"}, text(p.Tick(at(64))))
	require.Empty(t, p.Acquire("e", false, at(64)), "a stopping instance counts")
	require.Equal(t, []string{"start 1"}, text(p.Stopped(1, at(65))), "its id is used again")
	require.Equal(t, []string{"stop 2"}, text(p.Broken(2, at(66))))
	require.Equal(t, []string{"e gets 1"}, text(p.Started(1, 1, 0, at(67))))
	require.Empty(t, p.Stopped(2, at(68)))
	require.Equal(t, []string{"start 2"}, text(p.Acquire("f", false, at(69))))
	require.Equal(t, []string{"g fails: Pool not open"}, text(func() []pool.Action[string] {
		require.Equal(t, []string{"f fails: Pool not open", "stop 1"}, text(p.Close(at(70))))
		return p.Acquire("g", false, at(70))
	}()))
	require.Equal(t, []string{"stop 2"}, text(p.Started(2, 1, 0, at(71))), "started too late")
	require.Empty(t, p.Release(1, at(72)))
}

func TestMinFromTheStart(t *testing.T) {
	p := pool.New[string](pool.Config{Min: 2, Max: 3, Idle: time.Minute, Backoff: delays})
	require.Equal(t, []string{"start 1", "start 2"}, text(p.Tick(at(0))))
	p.Started(1, 1, 0, at(1))
	p.Started(2, 1, 0, at(1))
	require.Empty(t, p.Tick(at(1000)), "min stays although it is idle")
	require.Equal(t, []string{"stop 1", "start 3"}, text(p.Broken(1, at(1000))))
}

// A failed start gives its id back, and all waiters get its error if no other instance is there.
func TestFailedStart(t *testing.T) {
	boom := errors.New("boom")
	p := pool.New[string](pool.Config{Max: 1, Idle: time.Minute, Backoff: delays})
	p.Acquire("a", false, at(0))
	p.Acquire("b", false, at(0))
	require.Equal(t, []string{"a fails: boom", "b fails: boom"}, text(p.StartFailed(1, boom, 0, at(1))))
	require.Empty(t, p.Acquire("c", false, at(1.5)), "too early")
	wake, ok := p.Wake()
	require.True(t, ok)
	require.Equal(t, at(2), wake)
	require.Equal(t, []string{"start 1"}, text(p.Tick(at(2))))
	require.Equal(t, []string{"c fails: boom"}, text(p.StartFailed(1, boom, 0, at(3))))
	require.Empty(t, p.Acquire("d", false, at(4.5)), "the delay has grown to 2s")
	require.Equal(t, []string{"start 1"}, text(p.Tick(at(5))))
	require.Equal(t, []string{"d gets 1"}, text(p.Started(1, 1, 0, at(6))))

	p = pool.New[string](pool.Config{Max: 2, Idle: time.Minute, Backoff: delays})
	p.Acquire("a", false, at(0))
	p.Started(1, 1, 0, at(0))
	p.Acquire("b", false, at(0))
	require.Empty(t, p.StartFailed(2, boom, 0, at(1)), "b waits for a's instance")
	require.Equal(t, []string{"b gets 1"}, text(p.Release(1, at(1))))
}

func TestCancel(t *testing.T) {
	p := pool.New[string](pool.Config{Max: 1, Backoff: delays})
	p.Acquire("a", false, at(0))
	p.Acquire("b", false, at(0))
	require.True(t, p.Cancel("a"))
	require.False(t, p.Cancel("a"))
	require.Equal(t, []string{"b gets 1"}, text(p.Started(1, 1, 0, at(1))))
	require.False(t, p.Cancel("b"))
}

// Several calls at once: the room of an instance is filled before another is started. A call that wants to be alone
// waits until an instance is empty, and all later calls wait behind it.
func TestRoom(t *testing.T) {
	p := pool.New[string](pool.Config{Max: 2, Idle: time.Minute, Backoff: delays})
	require.Equal(t, []string{"start 1"}, text(p.Acquire("a", false, at(0))))
	require.Equal(t, []string{"start 2"}, text(p.Acquire("b", false, at(0))), "the room is not known yet")
	require.Equal(t, []string{"a gets 1", "b gets 1"}, text(p.Started(1, 3, 0, at(1))))
	require.Equal(t, []string{"c gets 1"}, text(p.Acquire("c", false, at(1))))
	require.Empty(t, p.Acquire("d", false, at(1)), "full")
	require.Equal(t, []string{"d gets 2"}, text(p.Started(2, 3, 0, at(2))), "the second one is there")
	require.Equal(t, []string{"e gets 2"}, text(p.Acquire("e", false, at(2))), "the one that has fewer calls")
	require.Empty(t, p.Acquire("f", true, at(2)))
	require.Empty(t, p.Acquire("g", false, at(2)), "no overtaking, though there is room")
	require.Empty(t, p.Release(2, at(3)))
	require.Equal(t, []string{"f gets 2", "g gets 1"}, func() []string {
		p.Release(1, at(3))
		return text(p.Release(2, at(3)))
	}())
	require.Empty(t, p.Acquire("h", true, at(4)))
	require.Equal(t, []string{"stop 2"}, text(p.Broken(2, at(4))))
	require.Empty(t, p.Acquire("i", false, at(4)))
	for range 2 {
		require.Empty(t, p.Release(1, at(5)))
	}
	require.Equal(t, []string{"h gets 1"}, text(p.Release(1, at(5))))
	require.Equal(t, []string{"i gets 1"}, text(p.Release(1, at(6))))
	require.Empty(t, p.Stopped(2, at(7)))
	require.Empty(t, p.Release(1, at(7)))
	require.Equal(t, []string{"stop 1"}, text(p.Tick(at(67))))
}

// Calls wait in the only instance there may be, and not in one of several. What is broken is killed.
func TestQueue(t *testing.T) {
	p := pool.New[string](pool.Config{Max: 1, Idle: time.Minute, Backoff: delays})
	p.Acquire("a", false, at(0))
	require.Equal(t, []string{"a gets 1"}, text(p.Started(1, 1, 2, at(1))))
	require.Equal(t, []string{"b gets 1"}, text(p.Acquire("b", false, at(1))))
	require.Equal(t, []string{"c gets 1"}, text(p.Acquire("c", false, at(1))))
	require.Empty(t, p.Acquire("d", false, at(1)), "full")
	require.Equal(t, []string{"d gets 1"}, text(p.Release(1, at(2))))
	require.Empty(t, p.Acquire("e", true, at(2)), "it wants to be alone")
	require.Equal(t, []pool.Action[string]{{Kind: pool.Stop, ID: 1, Kill: true}}, p.Broken(1, at(3)))
	require.Equal(t, []string{"start 1"}, text(p.Stopped(1, at(4))))
	require.Equal(t, []string{"e gets 1"}, text(p.Started(1, 1, 2, at(5))))
	require.Empty(t, p.Acquire("f", false, at(5)))
	require.Equal(t, []string{"f gets 1"}, text(p.Release(1, at(6))))

	p = pool.New[string](pool.Config{Max: 2, Idle: time.Minute, Backoff: delays})
	p.Acquire("a", false, at(0))
	require.Equal(t, []string{"a gets 1"}, text(p.Started(1, 1, 64, at(1))))
	require.Equal(t, []string{"start 2"}, text(p.Acquire("b", false, at(1))), "b does not wait behind a")
}

// Whatever happens in whatever order, the promises of the package hold.
func TestSimulation(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		cfg := pool.Config{Min: r.IntN(3), Max: 1 + r.IntN(5), Idle: 10 * time.Second, Backoff: delays}
		cfg.Min = min(cfg.Min, cfg.Max)
		simulate(t, fmt.Sprint("seed ", seed), pool.New[int](cfg), cfg, r)
	}
}

func simulate(t *testing.T, name string, p *pool.Pool[int], cfg pool.Config, r *rand.Rand) {
	now := at(0)
	var starting, stopping []int
	busy := map[int]int{} // id → calls
	room, places := map[int]int{}, map[int]int{}
	alone := map[int]bool{}  // waiters that want an instance alone
	single := map[int]bool{} // ids of instances whose call does
	idle := map[int]bool{}
	var order []int // waiters that are not served yet, the first one first
	next, failing := 0, false
	apply := func(actions []pool.Action[int]) {
		for _, a := range actions {
			switch a.Kind {
			case pool.Start:
				require.NotContains(t, starting, a.ID, name)
				require.NotContains(t, stopping, a.ID, name)
				require.False(t, idle[a.ID], name)
				require.NotContains(t, busy, a.ID, name)
				starting = append(starting, a.ID)
			case pool.Stop:
				delete(idle, a.ID)
				delete(busy, a.ID)
				delete(single, a.ID)
				stopping = append(stopping, a.ID)
			case pool.Grant:
				require.True(t, idle[a.ID] || busy[a.ID] > 0, "%s: %d does not run", name, a.ID)
				require.False(t, single[a.ID] || alone[a.Waiter] && busy[a.ID] > 0, "%s: %d is not alone", name, a.ID)
				require.Equal(t, order[0], a.Waiter, "%s: out of order", name)
				order = order[1:]
				delete(idle, a.ID)
				busy[a.ID]++
				require.LessOrEqual(t, busy[a.ID], places[a.ID], name)
				single[a.ID] = alone[a.Waiter]
			case pool.Fail:
				require.Error(t, a.Err, name)
				require.Equal(t, order[0], a.Waiter, name)
				order = order[1:]
			}
			require.LessOrEqual(t, len(starting)+len(stopping)+len(busy)+len(idle), cfg.Max, name)
		}
	}
	take := func(list *[]int) int {
		i := r.IntN(len(*list))
		id := (*list)[i]
		*list = append((*list)[:i], (*list)[i+1:]...)
		return id
	}
	step := func(load bool) {
		now = now.Add(time.Duration(r.IntN(1500)) * time.Millisecond)
		if wake, ok := p.Wake(); ok && !now.Before(wake) || r.IntN(8) == 0 {
			apply(p.Tick(now))
		}
		switch r.IntN(6) {
		case 0:
			if load {
				next++
				order = append(order, next)
				alone[next] = r.IntN(5) == 0
				apply(p.Acquire(next, alone[next], now))
			}
		case 1:
			if len(starting) > 0 {
				id := take(&starting)
				if failing {
					apply(p.StartFailed(id, errors.New("no"), r.Float64(), now))
				} else {
					idle[id], room[id] = true, 1+r.IntN(3)
					queue := r.IntN(4)
					places[id] = room[id]
					if cfg.Max == 1 {
						places[id] += queue
					}
					apply(p.Started(id, room[id], queue, now))
				}
			}
		case 2:
			for id := range busy {
				delete(single, id)
				if busy[id]--; busy[id] == 0 {
					delete(busy, id)
					idle[id] = true
				}
				apply(p.Release(id, now))
				break
			}
		case 3:
			if len(stopping) > 0 {
				apply(p.Stopped(take(&stopping), now))
			}
		case 4:
			if load && r.IntN(4) == 0 {
				apply(p.Broken(1+r.IntN(cfg.Max), now))
			}
		case 5:
			if r.IntN(20) == 0 {
				failing = !failing
			}
		}
	}
	for range 400 {
		step(true)
	}
	failing = false
	// No more load and no more failures: all waiters are served, and instances that are not needed are stopped.
	for range 2000 {
		failing = false
		step(false)
	}
	require.Empty(t, order, "%s: these wait for ever", name)
	require.Empty(t, busy, name)
	require.Len(t, idle, cfg.Min, "%s: instances that stay", name)
	apply(p.Close(now))
	require.Empty(t, idle, name)
	for len(stopping) > 0 {
		apply(p.Stopped(take(&stopping), now))
	}
	require.Equal(t, cfg.Max, p.Count(pool.Free), name)
}
