package measure

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the tool prints, what is read from it can be sent as JSON.
func FuzzParseGPUs(f *testing.F) {
	f.Add([]byte("0, Tesla P4, 7611, 7000, 8, 50\n1, X, [N/A], 1, 1, 1\nNaN, x, NaN, Inf, -1, 1e999"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := json.Marshal(parseGPUs(text))
		require.NoError(t, err)
	})
}
