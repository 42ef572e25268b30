package function_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/internal/mqtttest"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// starts is a Starter whose starts end when the test says so.
type starts struct {
	function.Starter
	running atomic.Int32
	end     chan struct{}
}

func (s *starts) Start(ctx context.Context, f config.Function, id int) (*rpc.Client, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	select {
	case <-s.end:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

// As many starts at once as are useful, and no more; those that hang do not keep others waiting.
func TestLimitOfStarts(t *testing.T) {
	s := &starts{end: make(chan struct{})}
	l := function.Limit(s, 2)
	done := make(chan error, 4)
	ctx, cancel := context.WithCancel(context.Background())
	for range 4 {
		go func() {
			_, err := l.Start(ctx, config.Function{}, 1)
			done <- err
		}()
	}
	at := func(n int32) {
		mqtttest.Until(t, fmt.Sprint(n, " starts run"), func() bool { return s.running.Load() == n })
	}
	at(2)
	s.end <- struct{}{}
	require.NoError(t, <-done)
	at(2)
	at(3) // they hang
	cancel()
	for range 3 {
		require.ErrorIs(t, <-done, context.Canceled)
	}
	_, err := l.Start(ctx, config.Function{}, 1)
	require.ErrorIs(t, err, context.Canceled)
}
