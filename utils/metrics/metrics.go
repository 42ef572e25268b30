// Package metrics serves the numbers of a module to Prometheus, and tells whether the module lives and is ready.
//
//	GET /metrics ─► Server ─► the module's prometheus.Collector, and go_* and process_* of its process
//	GET /healthz ─► 200: the process lives
//	GET /readyz ──► 200, or 503 with the reason
//
// A module works without its metrics. If the address can't be opened, because another program uses it for example, the
// Server logs a warning once and tries again until the address is free.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// Key is where the address stands in the configuration of every module that has one.
const Key = "metrics.address"

// attempts are the delays between attempts to open the address.
var attempts = backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}

// Server is the metrics server of one module. Its fields are set before Run.
type Server struct {
	Address string               // host:port
	Hosts   []string             // names that requests may have besides: see meant
	Numbers prometheus.Collector // asked at each GET /metrics, from any goroutine
	Ready   func() error         // why the module can't do its work now, from any goroutine; nil: there is no /readyz
	Log     log.Logger

	listen func(network, address string) (net.Listener, error) // nil: net.Listen
}

// Run serves until ctx ends, and returns nil then. It is called once.
func (s *Server) Run(ctx context.Context) error {
	listen := s.listen
	if listen == nil {
		listen = net.Listen
	}
	l := s.Log.WithField(log.KeyAddress, s.Address)
	server := &http.Server{
		Handler: s.meant(s.handler()), ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	for failures := 0; ; failures++ {
		ln, err := listen("tcp", s.Address)
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

func (s *Server) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Numbers, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
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
