package metrics

import (
	"context"
	"crypto/tls"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
	"github.com/baetyl/baetyl/utils/sample"
)

// Server serves the page where the configuration says, which may change while it runs. Without an address nothing of it
// runs. Its methods but Run may be called from any goroutine.
type Server struct {
	source Source
	log    log.Logger
	page   http.Handler

	mu      sync.Mutex // guards what follows
	cfg     Config
	changed chan struct{} // closed by Set
}

// New returns a server of what source knows, with paths in cfg that are absolute. It opens nothing.
func New(source Source, cfg Config, l log.Logger) *Server {
	return &Server{source: source, log: l, cfg: cfg, changed: make(chan struct{})}
}

// Set changes the configuration. Files of certificates are read again.
func (s *Server) Set(cfg Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cfg.Cert == "" && reflect.DeepEqual(cfg, s.cfg) {
		return
	}
	s.cfg = cfg
	close(s.changed)
	s.changed = make(chan struct{})
}

// Run serves until ctx ends, and returns nil. It is called once.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		cfg, changed := s.cfg, s.changed
		s.mu.Unlock()
		one, cancel := context.WithCancel(ctx)
		var serving sync.WaitGroup
		if cfg.Address != "" {
			serving.Go(func() { s.serve(one, cfg) })
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		cancel()
		serving.Wait()
	}
	return nil
}

// serve serves at the address of cfg until ctx ends.
func (s *Server) serve(ctx context.Context, cfg Config) {
	slow := newSlow(s.source)
	server := metrics.Server{
		Address: cfg.Address, Hosts: cfg.Hosts, Ready: s.source.Ready, Log: s.log, Page: newPage(s.source, slow, s.log),
	}
	if cfg.Cert != "" {
		server.TLS = func() (*tls.Config, error) { return cert.Server(cfg.Config) }
	}
	var g run.Group
	g.Add("disk", slow.data.Run)
	g.Add("certificates", slow.certificates.Run)
	g.Add("server", server.Run)
	_ = g.Run(ctx) // none of them fails
}

// slow keeps what a dead disk holds up.
type slow struct {
	data         *sample.Cache[host.FileSystem]
	certificates *sample.Cache[[]doctor.Certificate]
}

// How old a value may be, and how long a page waits for a new one.
const (
	dataAge        = 5 * time.Second
	certificateAge = time.Minute
	slowTimeout    = 300 * time.Millisecond
)

func newSlow(from Source) slow {
	return slow{
		data:         sample.New(dataAge, slowTimeout, leave(func(context.Context) host.FileSystem { return from.Data() })),
		certificates: sample.New(certificateAge, slowTimeout, leave(from.Certificates)),
	}
}

// leave returns f without its wait for the end of f when ctx has ended: nobody can end a read of a dead disk.
func leave[T any](f func(context.Context) T) func(context.Context) T {
	return func(ctx context.Context) (v T) {
		done := make(chan T, 1)
		go func() { done <- f(ctx) }()
		select {
		case v = <-done:
		case <-ctx.Done():
		}
		return v
	}
}
