package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
)

const (
	headerTimeout = 10 * time.Second // to send the head of a request
	idleTimeout   = 2 * time.Minute  // between two requests of a connection
	drainTimeout  = 5 * time.Second  // for running requests when the server stops
	answerMargin  = 10 * time.Second // to write the answer of a handler that used its whole time
)

// ServerConfig is the `server` section of a configuration.
type ServerConfig struct {
	// unix://path, tcp://host:port, or https://host:port
	Address string `yaml:"address" json:"address"`
	// for one request, handler included; 0 in code means the default
	Timeout     time.Duration `yaml:"timeout" json:"timeout" default:"5m" validate:"min=1"`
	cert.Config `yaml:",inline" json:",inline"`
}

// Validate checks the address and which certificate keys go together; it touches no file. The error starts with the
// key's name.
func (c ServerConfig) Validate() error {
	a, err := addr.Listen(c.Address, addr.Server...)
	switch {
	case err != nil:
		return fmt.Errorf("address: %w", err)
	case c.secure() && c.Cert == "":
		return errors.New("cert: is empty, but key is set; cert and key must be set together")
	case c.secure() && c.Key == "":
		return errors.New("key: is empty, but cert is set; cert and key must be set together")
	case a.Scheme == "https" && !c.secure():
		return fmt.Errorf("address: %q needs the keys cert and key; set them or write tcp://", c.Address)
	case a.Scheme == "unix" && c.secure():
		return errors.New("cert: is for tcp:// and https:// addresses only; leave out cert and key, or change the address")
	case c.CA != "" && !c.secure():
		return errors.New("ca: needs the keys cert and key beside it; set them or leave ca out")
	}
	return nil
}

func (c ServerConfig) secure() bool { return c.Cert != "" || c.Key != "" }

// Server serves one handler on one address. Listen and Serve are called once, in this order.
type Server struct {
	cfg      ServerConfig
	handler  nethttp.Handler
	listener net.Listener
	conns    sync.WaitGroup // connections, each with the goroutine that runs its handler
}

// NewServer returns a server of handler. A handler has to return soon after the context of its request ends.
func NewServer(cfg ServerConfig, handler nethttp.Handler) *Server {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Server{cfg: cfg, handler: handler}
}

// Listen opens the address. From then on callers wait in the queue of the system until Serve takes them. The folder
// of a unix socket is created; the socket may be used by the same user only.
func (s *Server) Listen() error {
	if err := s.cfg.Validate(); err != nil {
		return err
	}
	a, err := addr.Listen(s.cfg.Address, addr.Server...)
	if err != nil {
		return err
	}
	var secure *tls.Config
	if s.cfg.secure() {
		if secure, err = cert.Server(s.cfg.Config); err != nil {
			return err
		}
	}
	if a.Scheme == "unix" {
		s.listener, err = listenUnix(a.Path)
	} else {
		s.listener, err = net.Listen("tcp", a.Host)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Address, err)
	}
	if secure != nil {
		s.listener = tls.NewListener(s.listener, secure)
	}
	return nil
}

// Addr is where the server listens; with port 0 the system has chosen the port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// listenUnix opens the socket at path. A socket that refuses connections was left by a killed server and is replaced; a
// socket that accepts them, and a file that is no socket, are errors.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is not a socket; remove it or choose another address", path)
	default:
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = conn.Close()
			return nil, errors.New("another process serves this socket; stop it first")
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s is not known to be stale: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// Serve answers requests until ctx ends, then lets running requests finish for some seconds, ends their contexts,
// waits for their handlers and removes the socket.
func (s *Server) Serve(ctx context.Context) error {
	srv := &nethttp.Server{
		Handler:           nethttp.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       s.cfg.Timeout,
		WriteTimeout:      s.cfg.Timeout + answerMargin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ConnState: func(_ net.Conn, state nethttp.ConnState) {
			switch state {
			case nethttp.StateNew: // by the goroutine that accepts, so never after it has ended
				s.conns.Add(1)
			case nethttp.StateClosed, nethttp.StateHijacked:
				s.conns.Done()
			}
		},
	}
	failed := make(chan error, 1) // one slot: the goroutine below never blocks
	go func() { failed <- srv.Serve(s.listener) }()
	var err error
	select {
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		_ = srv.Shutdown(drain) // what did not finish in time is cut by Close
		_ = srv.Close()
		<-failed
	case err = <-failed:
		_ = srv.Close()
		err = fmt.Errorf("serve %s: %w", s.cfg.Address, err)
	}
	s.conns.Wait()
	return err
}

// Close closes the listener if Serve was not called.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) serve(w nethttp.ResponseWriter, r *nethttp.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	r.Body = nethttp.MaxBytesReader(w, r.Body, MaxBody)
	s.handler.ServeHTTP(w, r.WithContext(ctx))
}
