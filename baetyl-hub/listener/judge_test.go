package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/utils/cert"
)

// Expire and Judge end connections by their client certificates, over ssl and wss.
func TestCertificatesOfConnections(t *testing.T) {
	set := certtest.New(t)
	server, err := cert.Server(set.Server)
	require.NoError(t, err)
	client, err := cert.Client(set.Client)
	require.NoError(t, err)
	o := options()
	o.Handshake, o.TLS = time.Minute, server
	served, ended := make(chan struct{}), make(chan error, 1)
	s, err := Listen([]string{"ssl://127.0.0.1:0", "wss://127.0.0.1:0"}, o, func(conn net.Conn, _ *x509.Certificate) {
		served <- struct{}{}
		_, err := conn.Read(make([]byte, 1))
		_ = conn.Close()
		ended <- err
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	for i := range 2 {
		connect := func() {
			conn, err := tls.Dial("tcp", s.Addrs()[i].String(), client)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			if i == 1 {
				_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
				require.NoError(t, err)
			}
			<-served
		}
		connect()
		s.Judge(func([]*x509.Certificate) error { return nil })
		s.Expire(time.Now())
		require.Len(t, s.identities(), 1)
		s.Expire(time.Now().AddDate(20, 0, 0))
		require.ErrorIs(t, <-ended, net.ErrClosed)
		require.Empty(t, s.identities())
		connect()
		s.Judge(func(chain []*x509.Certificate) error {
			require.Equal(t, "client", chain[0].Subject.CommonName)
			return errors.New("no")
		})
		require.ErrorIs(t, <-ended, net.ErrClosed)
		require.Empty(t, s.identities())
		// One that is accepted before Judge and whose handshake ends after it is judged too.
		connect()
		for c, x := range s.identities() {
			c.judged = 0
			s.identify(c, &tls.ConnectionState{PeerCertificates: x.chain, VerifiedChains: [][]*x509.Certificate{x.chain}})
		}
		require.ErrorIs(t, <-ended, net.ErrClosed)
	}
	cancel()
	require.NoError(t, <-done)
}
