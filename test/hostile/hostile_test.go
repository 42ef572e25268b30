//go:build linux

// Package hostile_test lets a client that has logged in do its worst to a hub, for as long as one likes, beside a
// client that behaves.
//
//	attacker: one kind of attack after the other, then all at once ─┐
//	neighbour: a message every 20 ms, from itself to itself ────────┴─► hub: peak of its memory in each attack
//
// The hub's memory stays below limits.memory and a margin, and the neighbour loses neither its connection nor a
// message; else the test fails. How long its messages take is printed beside what they took in calm, for who reads it.
// Attackers are other machines in the field: here they share the processors, so they give way to hub and neighbour.
//
//	HOSTILE_TIME   how long the attacks last together; empty: the test is skipped
//	HOSTILE_ONLY   a regular expression: only attacks with such names
package hostile_test

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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
	giveWay(t)
	var chosen []attack
	for _, a := range attacks {
		if regexp.MustCompile(os.Getenv("HOSTILE_ONLY")).MatchString(a.name) {
			chosen = append(chosen, a)
		}
	}
	each := length / time.Duration(len(chosen)+2) // all at once take twice as long
	calm := n.during(t, each/2, func(context.Context) {})
	t.Logf("%-34s %8s %10s %10s %10s", "attack", "peak MB", "median ms", "p99 ms", "p99/calm")
	report := func(name string, x times) {
		peak := h.peak(t)
		t.Logf("%-34s %8.1f %10.2f %10.2f %10.1f", name, float64(peak)/1e6, ms(x.Median), ms(x.P99),
			float64(x.P99)/float64(calm.P99))
		require.LessOrEqual(t, peak, int64(memory+margin), "memory of the hub in bytes, in the attack: %s", name)
	}
	report("none", calm)
	for _, a := range chosen {
		report(a.name, n.during(t, each, func(ctx context.Context) { a.run(ctx, h) }))
	}
	report("all at once", n.during(t, 2*each, func(ctx context.Context) {
		var all sync.WaitGroup
		for _, a := range chosen {
			all.Go(func() { a.run(ctx, h) })
		}
		all.Wait()
	}))
	n.leave(t)
}

// giveWay lets other processes go first, from now on.
func giveWay(t *testing.T) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, x := range threads { // in Linux it is for a thread, which passes it on to those that it starts
		tid, err := strconv.Atoi(x.Name())
		require.NoError(t, err)
		require.NoError(t, unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
