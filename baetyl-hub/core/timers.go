package core

import (
	"container/heap"
	"time"
)

// timers are functions that are called when their time has come.
type timers []timer

type timer struct {
	due time.Time
	f   func()
}

// Len implements heap.Interface.
func (t timers) Len() int { return len(t) }

// Less implements heap.Interface.
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }

// Swap implements heap.Interface.
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = timer{}
	*t = (*t)[:last]
	return x
}

func (t *timers) add(due time.Time, f func()) { heap.Push(t, timer{due, f}) }

// Tick does what has come due.
func (c *Core) Tick() {
	for len(c.timers) > 0 && !c.timers[0].due.After(c.now) {
		heap.Pop(&c.timers).(timer).f()
	}
}

// NextTick returns when Tick has to be called next; zero: not before another event.
func (c *Core) NextTick() time.Time {
	if len(c.timers) == 0 {
		return time.Time{}
	}
	return c.timers[0].due
}
