package backoff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/backoff"
)

func TestDelayGrowsToItsMaximum(t *testing.T) {
	p := backoff.Policy{Min: time.Second, Max: 5 * time.Minute, Factor: 2}
	require.Equal(t, time.Second, p.Delay(0, 0))
	require.Equal(t, 8*time.Second, p.Delay(3, 0.9))
	require.Equal(t, 5*time.Minute, p.Delay(100000, 0))
	p.Jitter = 0.5
	require.Equal(t, 500*time.Millisecond, p.Delay(0, 0))
	require.Equal(t, 1250*time.Millisecond, p.Delay(0, 0.75))
}
