//go:build linux

package http_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
)

// shortened runs a server with short time limits at a unix socket, and returns its path.
func shortened(t *testing.T, header, body time.Duration, h nethttp.Handler) string {
	path := shortDir(t) + "/api.sock"
	s := http.NewServer(http.ServerConfig{Address: "unix://" + path}, h)
	s.Shorten(header, body)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return path
}

func dial(t *testing.T, path string) net.Conn {
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

// Connections that are open, idle or half sent keep nobody out: the oldest of them goes.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	path := shortened(t, time.Hour, time.Hour, says("1"))
	var conns []net.Conn
	for i := range 700 {
		c := dial(t, path)
		switch i % 3 {
		case 1:
			_, _ = io.WriteString(c, "GET / HT") // it may be closed already
		case 2:
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		conns = append(conns, c)
		if i%50 == 0 {
			answer, err := ask(t, "unix://"+path)
			require.NoError(t, err, "after %d connections", i)
			require.Equal(t, "1", answer)
		}
	}
	answer, err := ask(t, "unix://"+path)
	require.NoError(t, err)
	require.Equal(t, "1", answer)
	closed := 0
	for _, c := range conns {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		if _, err := io.Copy(io.Discard, c); err == nil || !isTimeout(err) {
			closed++
		}
	}
	require.GreaterOrEqual(t, closed, 700-256)
}

// With MaxConns there are fewer connections, half of them of one user; the oldest of those without request goes.
func TestFewerConnections(t *testing.T) {
	path := shortDir(t) + "/few.sock"
	s := http.NewServerWith(http.ServerConfig{Address: "unix://" + path}, http.Options{MaxConns: 4}, says("1"))
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	first := dial(t, path)
	dial(t, path)
	answer, err := ask(t, "unix://"+path)
	require.NoError(t, err)
	require.Equal(t, "1", answer)
	require.NoError(t, first.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = first.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, isTimeout(err), "it is open")
}

// A handler that waits for the rest of a body, or for a client to take its answer, keeps nobody out either.
func TestSlowClientsKeepNobodyOut(t *testing.T) {
	long := strings.Repeat("x", 8<<20) // more than a socket takes
	for name, request := range map[string]string{
		"body":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1",
		"answer": "GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var running atomic.Int64
			path := shortDir(t) + "/slow.sock"
			s := http.NewServerWith(http.ServerConfig{Address: "unix://" + path}, http.Options{MaxConns: 4},
				nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
					running.Add(1)
					defer running.Add(-1)
					var in any
					if r.Method == nethttp.MethodPost && http.ReadJSON(r, &in) != nil {
						return
					}
					if r.URL.Path == "/long" {
						http.WriteJSON(w, 200, long)
						return
					}
					http.WriteJSON(w, 200, "1")
				}))
			require.NoError(t, s.Listen())
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx) }()
			t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
			for range 2 {
				send(t, dial(t, path), request)
			}
			require.Eventually(t, func() bool { return running.Load() == 2 }, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { // it may have to wait until they wait
				_, err := ask(t, "unix://"+path)
				return err == nil
			}, 10*time.Second, time.Millisecond)
			require.Eventually(t, func() bool { return running.Load() < 2 }, time.Minute, time.Millisecond)
		})
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// Where a handler runs in every connection that a user may have, more are refused at once, until one has ended.
func TestBusyConnectionsAreLimited(t *testing.T) {
	hold := make(chan struct{})
	var running atomic.Int64
	path := shortened(t, time.Hour, time.Hour, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		running.Add(1)
		<-hold
		http.WriteJSON(w, 200, "1")
	}))
	for range 256 {
		send(t, dial(t, path), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	require.Eventually(t, func() bool { return running.Load() == 256 }, time.Minute, time.Millisecond)
	_, err := ask(t, "unix://"+path)
	require.Error(t, err)
	close(hold)
	require.Eventually(t, func() bool {
		_, err := ask(t, "unix://"+path)
		return err == nil
	}, time.Minute, time.Millisecond)
}

// Head and body have to arrive in time; a handler that has them may take longer.
func TestSlowRequestsEnd(t *testing.T) {
	const limit = time.Second // a busy machine takes its time to send whole requests too
	failed := make(chan error, 1)
	path := shortened(t, limit, limit, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/unread" {
			http.WriteJSON(w, 401, "no")
			return
		}
		if _, err := io.ReadAll(r.Body); err != nil {
			failed <- err
			http.WriteError(w, http.Errorf(400, "bad_request", "%s", err))
			return
		}
		select { // longer than the limits
		case <-r.Context().Done():
			http.WriteJSON(w, 500, "ended")
		case <-time.After(limit * 3 / 2):
			http.WriteJSON(w, 200, "done")
		}
	}))
	head := func(path string, length int) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, length)
	}
	open := map[string]net.Conn{}
	for name, text := range map[string]string{
		"nothing": "", "half a head": "PUT / HT", "an unread body": head("/unread", 1000) + "x",
		"half a body": head("/", 10) + "x",
	} {
		c := dial(t, path)
		send(t, c, text)
		open[name] = c
	}
	for name, c := range open {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := io.Copy(io.Discard, c)
		require.False(t, err != nil && isTimeout(err), "%s: the connection stays open", name)
	}
	require.True(t, isTimeout(<-failed))

	c := dial(t, path)
	for range 2 { // the limit of one request is not that of the next
		send(t, c, head("/", 4)+"body")
		answer := make([]byte, 1000)
		n, err := c.Read(answer)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200"), string(answer[:n]))
	}
}

// A request ends when its client goes.
func TestARequestEndsWithItsClient(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	path := shortened(t, time.Hour, time.Hour, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, _ = io.ReadAll(r.Body)
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
	} {
		c := dial(t, path)
		send(t, c, text)
		<-begun
		require.NoError(t, c.Close())
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("the handler runs on")
		}
	}
}
