package addr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/addr"
)

func TestParse(t *testing.T) {
	for in, want := range map[string][2]string{
		"unix:///var/run/b.sock": {"unix", "/var/run/b.sock"},
		"unix://var/run/b.sock":  {"unix", "var/run/b.sock"},
		"tcp://127.0.0.1:50050":  {"tcp", "127.0.0.1:50050"},
		"TCP://:1883":            {"tcp", ":1883"},
		"tcp://[::1]:1":          {"tcp", "[::1]:1"},
	} {
		s, r, err := addr.Parse(in, "unix", "tcp")
		require.NoError(t, err)
		require.Equal(t, want, [2]string{s, r})
	}
	for _, in := range []string{"", "tcp://host", "unix://", "http://a:1", "tcp//a:1", "tcp://a:b:c"} {
		_, _, err := addr.Parse(in, "unix", "tcp")
		require.Error(t, err, in)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tcp://127.0.0.1:1")
	f.Add("tcp://%zz")
	f.Fuzz(func(t *testing.T, s string) { _, _, _ = addr.Parse(s, "tcp", "unix") })
}
