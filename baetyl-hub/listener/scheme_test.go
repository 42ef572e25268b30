package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/stall"
)

// Scheme tells of each connection over what it came, also under a layer of the handler.
func TestScheme(t *testing.T) {
	pair, err := cert.Server(certtest.New(t).Server)
	require.NoError(t, err)
	pair.ClientAuth = tls.NoClientCert
	o, got := options(), make(chan string, 1)
	o.TLS, o.Limits = pair, Limits{All: 9, Address: 9}
	all := []string{"tcp", "ssl", "ws", "wss"}
	var addresses []string
	for _, scheme := range all {
		addresses = append(addresses, scheme+"://127.0.0.1:0")
	}
	s, err := Listen(addresses, o, func(conn net.Conn, _ *x509.Certificate) {
		got <- Scheme(stall.New(conn))
		_ = conn.Close()
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	trust := &tls.Config{InsecureSkipVerify: true}
	for i, scheme := range all {
		at := s.Addrs()[i].String()
		switch scheme {
		case "tcp":
			_, err = net.Dial("tcp", at)
		case "ssl":
			_, err = tls.Dial("tcp", at, trust)
		default:
			_, _, err = (&websocket.Dialer{TLSClientConfig: trust}).Dial(scheme+"://"+at, nil)
		}
		require.NoError(t, err)
		require.Equal(t, scheme, <-got)
	}
	cancel()
	require.NoError(t, <-ended)
}
