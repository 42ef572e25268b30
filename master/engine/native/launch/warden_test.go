//go:build linux

package launch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzResult(f *testing.F) {
	f.Add("0 0 ")
	f.Add("137 2 exec x: no such file")
	f.Add("-1 0 ")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadResult(strings.NewReader(text))
		if err != nil {
			require.Zero(t, r)
			return
		}
		again, err := parseResult(r.encode())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

func FuzzLivesBelow(f *testing.F) {
	f.Add([]byte("12 (a) b) S 7 1 1"), 7)
	f.Add([]byte(")"), 0)
	f.Fuzz(func(t *testing.T, stat []byte, parent int) {
		if livesBelow(stat, parent) && strings.HasSuffix(string(stat), ") Z") {
			t.Errorf("%q", stat)
		}
	})
}

func TestLivesBelow(t *testing.T) {
	require.True(t, livesBelow([]byte("12 (a) b) S 7 1 1"), 7))
	require.False(t, livesBelow([]byte("12 (a) S 7 1) Z 7 1 1"), 7))
}
