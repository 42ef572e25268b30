package value_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/value"
)

// Whole has the same result on every processor: numbers that do not fit in 32 bits become the largest or smallest that
// do.
func TestWhole(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "-5": -5, "2147483647": math.MaxInt32, "2147483648": math.MaxInt32, "4294967296": math.MaxInt32,
		"9223372036854775807": math.MaxInt32, "-2147483648": -math.MaxInt32, "-4294967297": -math.MaxInt32,
	} {
		v, err := value.Decode([]byte(text))
		require.NoError(t, err)
		got, err := value.Whole(v)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	v, err := value.Decode([]byte("9223372036854775808"))
	require.NoError(t, err)
	_, err = value.Whole(v)
	require.ErrorIs(t, err, value.ErrRange)
}
