//go:build linux

// Package disorder_test lets everything happen to a device in docker mode that people, cron jobs and daemons do to it,
// in random order, and looks whether its application runs as written afterwards, and nothing else is left.
//
//	plan (of a seed) ─► round: some steps ─► the daemon is up, the master runs ─► check, until it holds ─► next round
//
// The master is the real program, the daemon a real one of the test's own, with a registry in its network.
//
//	DISORDER_TIME     how long rounds begin; empty: the test is skipped
//	DISORDER_SEED     of the order; empty: one of the clock. A failed run prints it
//	DISORDER_WITHOUT  actions (plan_test.go) and checks (check_test.go) that are switched off, with commas
package disorder_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// settleTimeout is how long a device may take to become as written. It waits for a daemon, backoffs and updates.
const settleTimeout = 4 * time.Minute

func TestDisorder(t *testing.T) {
	limit := os.Getenv("DISORDER_TIME")
	if limit == "" {
		t.Skip("it takes minutes: make disorder")
	}
	runtime.LockOSThread() // the keeper ends with the thread that started it
	defer runtime.UnlockOSThread()
	length, err := time.ParseDuration(limit)
	require.NoError(t, err)
	seed := uint64(time.Now().UnixNano()) % 1_000_000
	if text := os.Getenv("DISORDER_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	off := strings.FieldsFunc(os.Getenv("DISORDER_WITHOUT"), func(r rune) bool { return r == ',' })
	t.Logf("again: make disorder SEED=%d TIME=%s WITHOUT=%s", seed, limit, strings.Join(off, ","))

	w := newWorld(t, off)
	w.settle(0)
	p := newPlan(seed, off)
	began := time.Now()
	for round := 1; time.Since(began) < length; round++ {
		for _, s := range p.round() {
			t.Logf("%7.1fs round %d: %s", time.Since(began).Seconds(), round, s)
			w.do(s)
			time.Sleep(s.pause) // the steps of a round are as far apart as the plan says
		}
		w.up()
		w.settle(round)
		t.Logf("%7.1fs round %d: as written", time.Since(began).Seconds(), round)
	}
	w.end()
}
