package run_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/run"
)

func TestFirstErrorStopsTheOthersInReverse(t *testing.T) {
	var g run.Group
	var order []string
	wait := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name) // one at a time, by the promise of Run
			return ctx.Err()
		}
	}
	g.Add("a", wait("a"))
	g.Add("b", wait("b"))
	g.Add("c", func(context.Context) error { return errors.New("boom") })
	require.EqualError(t, g.Run(context.Background()), "c: boom")
	require.Equal(t, []string{"b", "a"}, order)
}

func TestEndOfContextIsNoError(t *testing.T) {
	var g run.Group
	ctx, cancel := context.WithCancel(context.Background())
	g.Add("a", func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	require.NoError(t, g.Run(ctx))
}

func TestEvery(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	require.NoError(t, run.Every(ctx, time.Millisecond, func() {
		if calls++; calls == 3 {
			cancel()
		}
	}))
	require.GreaterOrEqual(t, calls, 3) // a tick may be there already when ctx ends
}
