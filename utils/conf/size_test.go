package conf_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/conf"
)

// A size of 4g is not 0 where an int has 32 bits, nor one of 2g negative.
func TestSizeAsInt(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4m": 4 << 20, "2g": 2 << 30, "4g": 4 << 30, "5g": 5 << 30} {
		s, err := conf.ParseSize(text)
		require.NoError(t, err)
		require.EqualValues(t, min(want, math.MaxInt), s.Int(), text)
	}
}
