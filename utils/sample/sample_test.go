package sample_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sample"
)

func TestGetIsFastAndRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, cost := 0, time.Duration(0)
		c := sample.New(time.Second, 50*time.Millisecond, func(context.Context) int {
			time.Sleep(cost)
			n++
			return n
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()

		require.Equal(t, 1, c.Get())
		require.Equal(t, 1, c.Get(), "young values are kept")
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, n, "Get was not called, so nothing was measured")
		require.Equal(t, 2, c.Get())

		time.Sleep(2 * time.Second)
		cost = 10 * time.Second
		start := time.Now()
		require.Equal(t, 2, c.Get(), "a slow measurement does not hold up Get")
		require.Equal(t, 50*time.Millisecond, time.Since(start))
		time.Sleep(cost)
		require.Equal(t, 3, c.Get())
		cancel()
		require.NoError(t, <-done)
	})
}
