//go:build linux

// Package soak_test runs hub, function manager and a function in SQL under the load of a site, for as long as one
// likes, and looks whether memory, descriptors and goroutines of the hub grow.
//
//	load: flows ─► hub ─► sessions that come for a moment, and some that come at the end ─► nothing is missing
//	sampler: every 10 s, /metrics of the hub ─► table ─► the last minutes beside those after the fifth
//
// All programs are the real ones, in an installation of the test's own.
//
//	SOAK_TIME  how long the load lasts; empty: the test is skipped
package soak_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plan says how a soak of some length is divided.
type plan struct {
	length  time.Duration
	warm    time.Duration // after which the hub is as it should stay: five minutes of an hour
	window  time.Duration // over which samples are averaged
	between time.Duration // from sample to sample
	period  time.Duration // in which each session comes once: two minutes of an hour
	visit   time.Duration // for which it comes
}

func newPlan(length time.Duration) plan {
	return plan{
		length: length, warm: min(5*time.Minute, length/10), window: min(4*time.Minute, length/10),
		between: min(10*time.Second, length/60), period: min(2*time.Minute, length/30), visit: min(2*time.Second, length/120),
	}
}

func TestSoak(t *testing.T) {
	text := os.Getenv("SOAK_TIME")
	if text == "" {
		t.Skip("it takes an hour: make soak")
	}
	length, err := time.ParseDuration(text)
	require.NoError(t, err)
	require.GreaterOrEqual(t, length, time.Minute, "there is too little to compare")
	p := newPlan(length)
	s := install(t)
	l := newLoad(t, s, p)
	require.NoError(t, s.untilFunction(l), "the function does not answer")

	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); l.run(ctx) }()
	t.Log(head)
	var all []sample
	began := time.Now()
	tick := time.NewTicker(p.between)
	defer tick.Stop()
	for next := time.Duration(0); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		x, err := s.sample(time.Since(began))
		require.NoError(t, err)
		all = append(all, x)
		if x.at >= next {
			t.Log(x)
			next = x.at + length/30
		}
		require.NoError(t, l.failure())
	}
	<-ended
	l.drain()
	x, err := s.sample(time.Since(began))
	require.NoError(t, err)
	t.Logf("%s  <- when all has been delivered", x)
	t.Log(l.summary())
	require.NoError(t, l.failure())
	report, grown := compare(average(all, p.warm, p.warm+p.window), average(all, length-p.window, length))
	t.Logf("average of %s after %s, and of the last %[1]s:\n%[3]s", p.window, p.warm, report)
	require.Empty(t, grown)
}

// What is compared, and what is taken for growth.
func TestCompare(t *testing.T) {
	const mib = 1 << 20
	before := sample{memory: 40 * mib, heap: 10 * mib, descriptors: 100, goroutines: 200}
	for _, c := range []struct {
		after sample
		grown int
	}{
		{before, 0},
		{sample{memory: 53 * mib, heap: 18 * mib, descriptors: 110, goroutines: 215}, 0},
		{sample{memory: 55 * mib, heap: 10 * mib, descriptors: 100, goroutines: 200}, 1},
		{sample{memory: 40 * mib, heap: 21 * mib, descriptors: 111, goroutines: 216}, 3},
	} {
		_, grown := compare(before, c.after)
		require.Len(t, grown, c.grown, "%v: %s", c.after, grown)
	}
	var all []sample
	for i := range 10 {
		all = append(all, sample{at: time.Duration(i) * time.Second, memory: float64(i)})
	}
	require.Equal(t, 2.5, average(all, time.Second, 4*time.Second).memory)
	require.Equal(t, fmt.Sprint(sample{}), fmt.Sprint(average(all, time.Minute, time.Hour)))
}
