package addr_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/addr"
)

func TestPeer(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1":        "192.0.2.1",
		"::ffff:192.0.2.1": "192.0.2.1",
		"::1":              "::1",
		"2001:db8:1:2::3":  "2001:db8:1:2::",
		"2001:db8:1:2::4":  "2001:db8:1:2::",
		"fe80::1":          "fe80::",
	} {
		require.Equal(t, want, addr.Peer(&net.TCPAddr{IP: net.ParseIP(from), Port: 1}).String())
	}
	require.False(t, addr.Peer(&net.UnixAddr{}).IsValid())
	require.False(t, addr.Peer(nil).IsValid())
	require.False(t, addr.Peer(&net.TCPAddr{}).IsValid())
}
