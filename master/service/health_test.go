package service_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

func TestAwaitHealthy(t *testing.T) {
	await := func(b *bench, limit time.Duration, names ...string) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		began := time.Now()
		err := b.AwaitHealthy(ctx, 10*time.Second, names...)
		return time.Since(began).Round(time.Second), err
	}
	policy := func(p string) func(*app.Service) { return func(s *app.Service) { s.Restart.Policy = p } }

	t.Run("all stay up", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 3)))
			require.NoError(t, b.Start(t.Context(), spec("none", 0)))
			took, err := await(b, time.Minute, "a", "none")
			require.NoError(t, err)
			require.Equal(t, 10*time.Second, took)
		})
	})
	t.Run("one ends once", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 2)))
			time.AfterFunc(8*time.Second, func() { b.fake.End("a.i1", errBoom) })
			took, err := await(b, time.Minute, "a")
			require.NoError(t, err)
			require.Equal(t, 19*time.Second, took, "its time begins anew")
		})
	})
	t.Run("one ends again and again", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 2)))
			require.NoError(t, b.Start(t.Context(), spec("b", 1)))
			stop := b.crash("a", 2*time.Second)
			took, err := await(b, time.Minute, "a", "b")
			require.EqualError(t, err, "instance a of service a has ended 4 times in a row: boom")
			require.LessOrEqual(t, took, 20*time.Second, "long before the deadline")
			stop()
		})
	})
	t.Run("one ends now and then", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 1)))
			stop := b.crash("a", 8*time.Second)
			took, err := await(b, 20*time.Second, "a")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "instance a of service a (running): boom: has not stayed up for 10s")
			require.Equal(t, 20*time.Second, took)
			stop()
		})
	})
	t.Run("one is given up", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 1, policy(app.RestartNo))))
			time.AfterFunc(time.Second, func() { b.fake.End("a", errBoom) })
			took, err := await(b, time.Minute, "a")
			require.EqualError(t, err, "instance a of service a: boom")
			require.Equal(t, time.Second, took, "nothing to wait for")
		})
	})
	t.Run("one has done its work", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			require.NoError(t, b.Start(t.Context(), spec("a", 1, policy(app.RestartOnFailure))))
			time.AfterFunc(time.Second, func() { b.fake.End("a", nil) })
			took, err := await(b, time.Minute, "a")
			require.NoError(t, err)
			require.Equal(t, time.Second, took)
		})
	})
}

// crash ends an instance with an error at intervals, until the func that it returns is called.
func (b *bench) crash(instance string, every time.Duration) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				b.fake.End(instance, errBoom)
			}
		}
	}()
	return func() { cancel(); <-done }
}
