package mqtttest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// No port is given out twice, and none that lies where the kernel looks for outgoing connections by default.
func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 100 {
		port := mqtttest.FreePort(t)
		require.False(t, seen[port])
		require.GreaterOrEqual(t, port, 10000)
		require.Less(t, port, 30000)
		seen[port] = true
	}
}
