package listener

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

// The tests in ../conformance cover listeners with the hub. Here are cases that a test can't cause in a hub.

func options() Options { return Options{Handshake: time.Second, Log: log.Discard()} }

func ignore(conn net.Conn, _ *x509.Certificate) { _ = conn.Close() }

// exhausted is a listener on a machine that has no file descriptors left for a while.
type exhausted struct {
	net.Listener
	mu    sync.Mutex
	calls int
	left  int // calls of Accept that fail
}

func (l *exhausted) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.calls++
	fail := l.left > 0
	l.left--
	l.mu.Unlock()
	if fail {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// A listener that can't accept waits longer before each attempt, and continues when it can.
func TestAcceptBacksOff(t *testing.T) {
	served := make(chan struct{})
	s, err := Listen([]string{"tcp://127.0.0.1:0"}, options(), func(conn net.Conn, _ *x509.Certificate) {
		_ = conn.Close()
		close(served)
	})
	require.NoError(t, err)
	l := &exhausted{Listener: s.entries[0].Listener, left: 6}
	s.entries[0].Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- s.Serve(ctx) }()
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	require.NoError(t, err)
	defer conn.Close()
	select {
	case <-served:
	case <-time.After(time.Minute):
		t.Fatal("not served")
	}
	require.GreaterOrEqual(t, time.Since(begin), (5+10+20+40+80+160)*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.LessOrEqual(t, l.calls, 8)
}

// Serve also ends while a listener waits.
func TestStopWhileAcceptFails(t *testing.T) {
	s, err := Listen([]string{"tcp://127.0.0.1:0"}, options(), ignore)
	require.NoError(t, err)
	s.entries[0].Listener = &exhausted{Listener: s.entries[0].Listener, left: 1 << 30}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("did not end")
	}
}

// If one address can't be opened, none stays open.
func TestListenAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	_, err = Listen([]string{"tcp://" + address, "tcp://" + taken.Addr().String()}, options(), ignore)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, `listen[1]: address "tcp://`+taken.Addr().String())
	require.ErrorContains(t, err, "is another program using it?")
	free, err := net.Listen("tcp", address)
	require.NoError(t, err, "the first one was left open")
	require.NoError(t, free.Close())
	_, err = Listen([]string{"ssl://127.0.0.1:0"}, options(), ignore)
	require.ErrorContains(t, err, "needs certificate.cert and certificate.key")
}

// WebSocket addresses that differ only in the path share a port; other addresses can't.
func TestSharedPort(t *testing.T) {
	host := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	s, err := Listen([]string{"ws://" + host + "/a", "ws://" + host + "/b"}, options(), ignore)
	require.NoError(t, err)
	require.Len(t, s.Addrs(), 1)
	_, err = Listen([]string{"tcp://" + host}, options(), ignore)
	require.Error(t, err)
	s.Close()
	_, err = Listen([]string{"ws://" + host + "/a", "tcp://" + host}, options(), ignore)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

// A listener that fails permanently ends Serve, whose error names it.
func TestServeTellsWhatFailed(t *testing.T) {
	s, err := Listen([]string{"tcp://127.0.0.1:0", "tcp://127.0.0.1:0"}, options(), ignore)
	require.NoError(t, err)
	require.NoError(t, s.entries[1].Close())
	err = s.Serve(context.Background())
	require.True(t, errors.Is(err, net.ErrClosed), "%v", err)
	require.ErrorContains(t, err, "listen on tcp://127.0.0.1:0")
}

// Connections count from accepting them to their end, those that say nothing in a handshake included.
func TestLimits(t *testing.T) {
	pair, err := cert.Server(certtest.New(t).Server)
	require.NoError(t, err)
	for _, scheme := range []string{"tcp", "ssl", "ws", "wss"} {
		for _, limits := range []Limits{{All: 3}, {All: 9, Address: 1, Local: 3}} {
			o := options()
			o.Handshake, o.TLS, o.Limits = time.Hour, pair, limits
			s, err := Listen([]string{scheme + "://127.0.0.1:0"}, o, func(conn net.Conn, _ *x509.Certificate) {
				_, direct := conn.(interface{ TCP() *net.TCPConn })
				require.Equal(t, scheme == "tcp", direct)
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.Close()
			})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx) }()
			dial := func() net.Conn {
				conn, err := net.Dial("tcp", s.Addrs()[0].String())
				require.NoError(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				return conn
			}
			first := dial()
			for range 2 {
				dial()
			}
			_, err = dial().Read(make([]byte, 1))
			require.Error(t, err)
			want := Rejected{All: 1}
			if limits.Address > 0 {
				want = Rejected{Address: 1}
			}
			require.Equal(t, want, s.Rejected(), scheme)
			require.NoError(t, first.Close())
			mqtttest.Until(t, "room for one more", func() bool {
				s.count.mu.Lock()
				defer s.count.mu.Unlock()
				return s.count.all == 2 && s.count.by[netip.MustParseAddr("127.0.0.1")] == 2
			})
			dial()
			cancel()
			require.NoError(t, <-ended)
		}
	}
}
