package stall_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/stall"
)

// pipe returns a Conn and its other end.
func pipe(t *testing.T) (*stall.Conn, net.Conn) {
	here, there := net.Pipe()
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	return stall.New(here), there
}

// drip moves a byte each d until there is an error.
func drip(d time.Duration, move func([]byte) (int, error)) {
	for b := make([]byte, 1); ; time.Sleep(d) {
		if _, err := move(b); err != nil {
			return
		}
	}
}

// hangUp closes the peer's end and lets drip notice it.
func hangUp(peer net.Conn) {
	_ = peer.Close()
	time.Sleep(time.Minute)
}

// A write takes as long as it needs while the peer takes a byte now and then, and ends when it takes none.
func TestWriteProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := pipe(t)
		c.SetWriteTimeout(10 * time.Second)
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Second))) // has no effect on writes
		began := time.Now()
		go drip(9*time.Second, peer.Read)
		n, err := c.Write(make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
		require.Equal(t, 99*9*time.Second, time.Since(began))
		hangUp(peer)
	})
	synctest.Test(t, func(t *testing.T) {
		c, peer := pipe(t)
		c.SetWriteTimeout(10 * time.Second)
		began := time.Now()
		go func() { _, _ = peer.Read(make([]byte, 5)) }()
		n, err := c.Write(make([]byte, 100))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 5, n)
		require.Equal(t, 20*time.Second, time.Since(began))
	})
}

// A record of TLS may take longer than the timeout, in both directions; one that does not move ends.
func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, move := range map[string]func(c, peer net.Conn) error{
			"read": func(c, peer net.Conn) error {
				go drip(9*time.Second, func(b []byte) (int, error) { b[0] = 1; return peer.Write(b) })
				_, err := io.ReadFull(c, make([]byte, 50))
				return err
			},
			"record": func(c, peer net.Conn) error {
				head := []byte{0x16, 3, 1, 0, 50} // of a handshake; the rest comes slowly
				go func() {
					_, _ = peer.Write(head)
					drip(9*time.Second, peer.Write)
				}()
				err := tls.Server(c, &tls.Config{}).Handshake()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return err
				}
				return nil // it was read whole, and is no ClientHello
			},
		} {
			c, peer := pipe(t)
			c.SetReadTimeout(10 * time.Second)
			c.SetWriteTimeout(10 * time.Second)
			began := time.Now()
			require.NoError(t, move(c, peer), name)
			require.Greater(t, time.Since(began), 400*time.Second, name)
			hangUp(peer)
		}
		c, _ := pipe(t)
		c.SetReadTimeout(10 * time.Second)
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// EndBy holds although the peer makes progress, and although deadlines are set afterwards.
func TestEndBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := pipe(t)
		c.SetWriteTimeout(10 * time.Second)
		go drip(100*time.Millisecond, peer.Read)
		end := time.Now().Add(time.Second)
		time.AfterFunc(500*time.Millisecond, func() {
			c.EndBy(time.Now(), end)
			_ = c.SetDeadline(time.Time{})
		})
		_, err := c.Write(make([]byte, 100))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, end, time.Now())
		_, err = c.Write(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		hangUp(peer)
	})
}

// Of finds the Conn under what is above it.
func TestOf(t *testing.T) {
	c, peer := pipe(t)
	require.Same(t, c, stall.Of(tls.Server(c, nil)))
	require.Same(t, c, stall.Of(c))
	require.Nil(t, stall.Of(tls.Server(peer, nil)))
	require.Same(t, peer, stall.Socket(tls.Server(stall.New(peer), nil)))
	require.Same(t, peer, stall.Socket(peer))
}
