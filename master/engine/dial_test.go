package engine_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

func TestDialPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, e := range []app.Endpoint{{Port: port}, {Port: port, Address: "127.0.0.1"}} {
		conn, err := engine.DialPort(t.Context(), "127.0.0.1", e)
		require.NoError(t, err)
		conn.Close()
	}
	_, err = engine.DialPort(t.Context(), "127.0.0.1", app.Endpoint{Socket: "s"})
	require.ErrorContains(t, err, "give a port")
}
