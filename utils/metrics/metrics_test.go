package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(body)
}

// The address is in use twice, then free: the Server warns once, then serves the pages. Run returns no error for it.
func TestAddressInUse(t *testing.T) {
	before := attempts
	attempts = backoff.Policy{Min: time.Nanosecond, Max: time.Nanosecond}
	defer func() { attempts = before }()
	number := prometheus.NewGauge(prometheus.GaugeOpts{Name: "n"})
	number.Set(7)
	ready := make(chan error, 1)
	opened := make(chan net.Listener, 1)
	failures := 2
	var text strings.Builder
	s := &Server{Address: "127.0.0.1:9", Page: Page(number), Log: log.NewTo(&text, log.Config{}),
		Ready: func() error { return <-ready },
		listen: func(string, string) (net.Listener, error) {
			if failures > 0 {
				failures--
				return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			opened <- l
			return l, err
		}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	url := "http://" + (<-opened).Addr().String()
	status, page := get(t, url+"/metrics")
	require.Equal(t, 200, status)
	require.Contains(t, page, "n 7\n")
	require.Contains(t, page, "\ngo_goroutines ")
	require.Contains(t, page, "\nprocess_open_fds ")
	status, _ = get(t, url+"/healthz")
	require.Equal(t, 200, status)
	ready <- nil
	status, _ = get(t, url+"/readyz")
	require.Equal(t, 200, status)
	ready <- errors.New("the disk is full")
	status, page = get(t, url+"/readyz")
	require.Equal(t, 503, status)
	require.Equal(t, "the disk is full\n", page)
	cancel()
	require.NoError(t, <-ended)
	out := text.String()
	require.Equal(t, 1, strings.Count(out, "no metrics: metrics.address can't be opened"), out)
	require.Contains(t, out, "address already in use")
	require.Contains(t, out, `address="127.0.0.1:9"`)
	require.Contains(t, out, "metrics are served now")
}

func TestEndsWhileItWaits(t *testing.T) {
	failed := make(chan struct{}, 1)
	s := &Server{Address: "x", Page: Page(prometheus.NewGauge(prometheus.GaugeOpts{Name: "n"})), Log: log.Discard(),
		listen: func(string, string) (net.Listener, error) {
			failed <- struct{}{}
			return nil, errors.New("no")
		}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-failed
	cancel()
	require.NoError(t, <-ended)
}
