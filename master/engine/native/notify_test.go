//go:build unix

package native

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotification(t *testing.T) {
	for text, want := range map[string]notification{
		"":                              {name: "stored"},
		"READY=1\nSTATUS=x=y":           {name: "stored"},
		"FDSTORE=1":                     {store: true, name: "stored"},
		"FDSTORE=0\nFDNAME=a b":         {name: "a b"},
		"FDNAME=tcp\nFDSTORE=1\n":       {store: true, name: "tcp"},
		"FDSTOREREMOVE=1\nFDNAME=tcp\n": {remove: true, name: "tcp"},
	} {
		got, err := parseNotification([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"FDNAME=", "FDNAME=a:b", "FDNAME=\x00", "FDNAME=\xff", "FDSTORE=1\nFDSTOREREMOVE=1", string(make([]byte, 4097)),
	} {
		_, err := parseNotification([]byte(text))
		require.Error(t, err, text)
	}
}

// FuzzNotification: what a service sends is a name that can stand in the environment of its next life, or an error.
func FuzzNotification(f *testing.F) {
	for _, text := range []string{"FDSTORE=1\nFDNAME=x", "FDSTOREREMOVE=1", "FDNAME=\n=\n", "BARRIER=1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := parseNotification(text)
		if err != nil {
			require.Zero(t, n)
			return
		}
		require.False(t, n.store && n.remove)
		require.Regexp(t, `^[ -9;-~]{1,255}$`, n.name)
	})
}
