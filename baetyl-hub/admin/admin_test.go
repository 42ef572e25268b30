package admin

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// Keys of all names come back as they were.
func TestKeys(t *testing.T) {
	require.Empty(t, encodeKey(core.Key{}))
	for _, k := range []core.Key{
		{Client: "a"}, {Topic: "a/b"}, {Client: "\x001", Topic: `"\/`}, {Client: "é\u2028", Topic: "$share/g/#"},
	} {
		text := encodeKey(k)
		require.Equal(t, k, must(decodeKey(text)))
	}
}

func must(k core.Key, err error) core.Key {
	if err != nil {
		panic(err)
	}
	return k
}

func FuzzDecodeKey(f *testing.F) {
	f.Add("WyJhIiwiYiJd")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := decodeKey(text); err == nil && k != (core.Key{}) {
			require.Equal(t, k, must(decodeKey(encodeKey(k))))
		}
	})
}
