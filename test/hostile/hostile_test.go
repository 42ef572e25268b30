//go:build linux

// Package hostile_test lets a client that has logged in do its worst to a hub, for as long as one likes, beside a
// client that behaves.
//
//	attacker: one kind of attack after the other, then all at once ─┐
//	neighbour: a message every 20 ms, from itself to itself ────────┴─► hub: peak of its memory in each attack
//
// The hub's memory stays below limits.memory and a margin, and the neighbour loses neither its connection nor a
// message; else the test fails. How long its messages take is printed beside what they took in calm: that is for who
// reads it, since the attacker takes the same processors.
//
//	HOSTILE_TIME  how long the attacks last together; empty: the test is skipped
package hostile_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// margin is how far the memory of the process may be above limits.memory: that is a limit of the heap, of which the
// collector is told, and not of what the kernel counts.
const margin = 32 << 20

func TestHostile(t *testing.T) {
	text := os.Getenv("HOSTILE_TIME")
	if text == "" {
		t.Skip("it takes an hour: make hostile")
	}
	length, err := time.ParseDuration(text)
	require.NoError(t, err)
	h := startHub(t)
	n := meet(t, h)
	each := length / time.Duration(len(attacks)+2) // all at once take twice as long
	calm := n.during(t, each/2, func(context.Context) {})
	t.Logf("%-34s %8s %10s %10s %10s", "attack", "peak MB", "median ms", "p99 ms", "p99/calm")
	report := func(name string, x times) {
		peak := h.peak(t)
		t.Logf("%-34s %8.1f %10.2f %10.2f %10.1f", name, float64(peak)/1e6, ms(x.median), ms(x.p99),
			float64(x.p99)/float64(calm.p99))
		require.LessOrEqual(t, peak, int64(memory+margin), "memory of the hub in bytes, in the attack: %s", name)
	}
	report("none", calm)
	for _, a := range attacks {
		report(a.name, n.during(t, each, func(ctx context.Context) { a.run(ctx, h) }))
	}
	report("all at once", n.during(t, 2*each, func(ctx context.Context) {
		var all sync.WaitGroup
		for _, a := range attacks {
			all.Go(func() { a.run(ctx, h) })
		}
		all.Wait()
	}))
	n.leave(t)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
