package conn_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/conn"
)

// A client that has closed its end is seen without reading, over TCP.
func TestLeft(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	hub, err := ln.Accept()
	require.NoError(t, err)
	defer hub.Close()
	require.False(t, conn.Left(hub))
	_, err = peer.Write([]byte("x"))
	require.NoError(t, err)
	require.False(t, conn.Left(hub))
	require.NoError(t, peer.Close())
	eventually(t, "the end", func() bool { return conn.Left(hub) })
	b, err := io.ReadAll(hub)
	require.NoError(t, err)
	require.Equal(t, "x", string(b)) // nothing was taken
}
