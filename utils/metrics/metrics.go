// Package metrics serves the numbers of a program to Prometheus, and tells whether the program lives and is ready.
//
//	GET /metrics ─► Server ─► Page: the program's prometheus.Collector, and go_* and process_* of its process
//	GET /healthz ─► 200: the process lives
//	GET /readyz ──► 200, or 503 with the reason
//
// A program works without its metrics. If the address can't be opened, because another program uses it for example, the
// Server logs a warning once and tries again until the address is free. A module gives its page to protocol/admin too,
// so that the master has the numbers of all modules without any port.
package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// Key is where the address stands in the configuration of every program that has one.
const Key = "metrics.address"

// atOnce is how many requests a Page answers at a time. Others get 503.
const atOnce = 4

// attempts are the delays between attempts to open the address.
var attempts = backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}

// Server is the metrics server of one program. Its fields are set before Run.
type Server struct {
	Address string                      // host:port
	Hosts   []string                    // names that requests may have besides: see meant
	TLS     func() (*tls.Config, error) // of the address, asked at each attempt to open it; nil: plain http
	Page    http.Handler                // answers GET /metrics
	Ready   func() error                // why the program can't do its work now, from any goroutine; nil: there is no /readyz
	Log     log.Logger

	listen func(network, address string) (net.Listener, error) // nil: net.Listen
}

// Page returns what answers GET /metrics: numbers, which are asked each time, from any goroutine, and those of the
// process. It costs nothing until the first request.
func Page(numbers prometheus.Collector) http.Handler {
	page := sync.OnceValue(func() http.Handler { return PageOf(Gather(numbers)) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page().ServeHTTP(w, r) })
}

// Gather returns what gathers more, and go_* and process_* of this process.
func Gather(more ...prometheus.Collector) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(more, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))...)
	return registry
}

// PageOf is Page of whatever gathers numbers.
func PageOf(from prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(from, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: atOnce})
}

// Run serves until ctx ends, and returns nil then. It is called once.
func (s *Server) Run(ctx context.Context) error {
	l := s.Log.WithField(log.KeyAddress, s.Address)
	server := &http.Server{
		Handler: s.meant(s.handler()), ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	for failures := 0; ; failures++ {
		ln, err := s.open()
		if err == nil {
			if failures > 0 {
				l.Infof("metrics are served now")
			}
			failures = 0
			if err = server.Serve(ln); errors.Is(err, http.ErrServerClosed) {
				return nil
			}
		}
		if failures == 0 { // once, not at each attempt
			l.WithError(err).Warnf("no metrics: %s can't be opened and is tried again; "+
				"if another program uses it, set another address, or \"\" for none", Key)
		}
		t := time.NewTimer(attempts.Delay(failures, rand.Float64()))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// open opens the address.
func (s *Server) open() (net.Listener, error) {
	listen := s.listen
	if listen == nil {
		listen = net.Listen
	}
	if s.TLS == nil {
		return listen("tcp", s.Address)
	}
	secure, err := s.TLS()
	if err != nil {
		return nil, err
	}
	ln, err := listen("tcp", s.Address)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, secure), nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.Page)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if s.Ready != nil {
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
			if err := s.Ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		})
	}
	return mux
}
