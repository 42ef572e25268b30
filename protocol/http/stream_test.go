package http_test

import (
	"context"
	"errors"
	"io"
	nethttp "net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
)

type number struct {
	N    int
	Text string
}

// serveStreams serves run at a unix socket, whose requests have 50 ms, and returns a client and what stops the server.
func serveStreams(t *testing.T, content string, unread time.Duration,
	run func(ctx context.Context, s *http.Stream) error) (*http.Client, func()) {
	address := "unix://" + filepath.Join(t.TempDir(), "s")
	s := http.NewServer(http.ServerConfig{Address: address, Timeout: 50 * time.Millisecond},
		nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if r.URL.Path == "/late" { // the stream begins when the time of the request is over
				<-r.Context().Done()
			}
			if err := http.ServeStreamFor(w, r, content, unread, run); err != nil {
				http.WriteError(w, http.ErrorOf(err, nil))
			}
		}))
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { require.NoError(t, s.Serve(ctx)) })
	stop := func() {
		cancel()
		serving.Wait()
	}
	t.Cleanup(stop)
	c, err := http.NewClient(http.ClientConfig{Address: address})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, stop
}

func open(t *testing.T, c *http.Client) *http.Lines {
	l, err := c.Stream(t.Context(), nethttp.MethodGet, "/", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A stream goes on behind the time limit of requests, and ends well.
func TestStream(t *testing.T) {
	more := make(chan int)
	c, _ := serveStreams(t, http.ContentLines, time.Minute, func(_ context.Context, s *http.Stream) error {
		s.Open()
		for n := range more {
			if err := s.Send(number{N: n}); err != nil {
				return err
			}
		}
		return nil
	})
	l, err := c.Stream(t.Context(), nethttp.MethodGet, "/late", nil)
	require.NoError(t, err)
	for n := range 100 {
		more <- n
		var got number
		require.NoError(t, l.Next(&got))
		require.Equal(t, n, got.N)
	}
	close(more)
	require.ErrorIs(t, l.Next(&number{}), io.EOF)
}

func TestStreamThatIsRefused(t *testing.T) {
	c, _ := serveStreams(t, http.ContentLines, time.Minute, func(context.Context, *http.Stream) error {
		return http.Errorf(404, "not_found", "no such thing")
	})
	_, err := c.Stream(t.Context(), nethttp.MethodGet, "/", nil)
	var e *http.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, &http.Error{Status: 404, Code: "not_found", Message: "no such thing"}, e)
}

// Why a stream has ended is its last line; a stream of bytes is broken off.
func TestStreamThatFails(t *testing.T) {
	run := func(_ context.Context, s *http.Stream) error {
		_, _ = s.Write([]byte("{}\n"))
		return errors.New("the disk is gone")
	}
	c, _ := serveStreams(t, http.ContentLines, time.Minute, run)
	l := open(t, c)
	require.NoError(t, l.Next(&number{}))
	err := l.Next(&number{})
	var e *http.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "the disk is gone", e.Message)

	c, _ = serveStreams(t, "application/gzip", time.Minute, run)
	body, err := c.Open(t.Context(), nethttp.MethodGet, "/", nil)
	require.NoError(t, err)
	data, err := io.ReadAll(body)
	require.Equal(t, "{}\n", string(data))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// Who reads nothing costs what the queue and the socket hold, and is told why the stream has ended when he reads on.
func TestStreamThatIsNotRead(t *testing.T) {
	sent, ended := 0, make(chan error, 1)
	c, _ := serveStreams(t, http.ContentLines, time.Second, func(ctx context.Context, s *http.Stream) error {
		for {
			if err := s.Send(number{N: sent, Text: strings.Repeat("x", 10000)}); err != nil {
				ended <- err
				return err
			}
			sent++
		}
	})
	l := open(t, c)
	require.ErrorContains(t, <-ended, "was not read")
	require.Less(t, sent, 1000)
	for n := range sent {
		var got number
		require.NoError(t, l.Next(&got))
		require.Equal(t, n, got.N)
	}
	var e *http.Error
	require.ErrorAs(t, l.Next(&number{}), &e)
	require.Equal(t, "unread", e.Code)
}

// A stream ends with its reader, and with its server, which does not wait for it.
func TestStreamEnds(t *testing.T) {
	running, ended := make(chan bool, 2), make(chan error, 2)
	c, stop := serveStreams(t, http.ContentLines, time.Minute, func(ctx context.Context, s *http.Stream) error {
		s.Open()
		running <- true
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	})
	l := open(t, c)
	<-running
	require.NoError(t, l.Close())
	<-ended
	l = open(t, c)
	<-running
	begin := time.Now()
	stop()
	require.Less(t, time.Since(begin), 4*time.Second, "the drain waits for five")
	var e *http.Error
	require.ErrorAs(t, l.Next(&number{}), &e)
	require.Equal(t, "ending", e.Code)
}
