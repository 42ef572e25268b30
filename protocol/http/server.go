package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	nethttp "net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

const (
	headerTimeout = 10 * time.Second // to send the head of a request
	bodyTimeout   = 30 * time.Second // to send the body of a request
	idleTimeout   = 2 * time.Minute  // between two requests of a connection
	drainTimeout  = 5 * time.Second  // for running requests when the server stops
	sendTimeout   = time.Second      // for requests that have not arrived then
	answerTimeout = 30 * time.Second // to take an answer
	watchInterval = 2 * time.Second  // between two looks at the file of a unix socket
)

// Keeper holds listeners while there is no server. keeper.Client implements it.
type Keeper interface {
	// Keep holds the open file f under a name, which replaces what it holds there; nil closes that. f stays the caller's.
	Keep(name string, f *os.File) error
}

// Options are what a server may be told beside its address. The zero value is fit for use.
type Options struct {
	// of the listeners at the keeper; without a space
	Name string
	// holds the listeners, so that a server that has left is followed by one with the same listener: meanwhile callers
	// wait. nil: they end with the server
	Keeper Keeper
	// what the keeper holds; the server takes and closes those of its name
	Kept map[string]*os.File
	// of a unix socket; 0: 0600
	Mode fs.FileMode
	// that a unix socket belongs to; 0: that of this process
	Group int
	// connections at a time, at most, half of them of one user or address; 0: 1024, and 256 of one
	MaxConns int
	// nil: nothing is logged
	Log log.Logger
}

// Server serves one handler on one address. Listen and Serve are called once, in this order.
type Server struct {
	cfg     ServerConfig
	opts    Options
	handler nethttp.Handler
	secure  *tls.Config
	table   *table
	addr    net.Addr      // where Listen listens
	header  time.Duration // headerTimeout; of tests: less
	body    time.Duration // bodyTimeout; of tests: less
	leaving atomic.Bool
	ending  context.Context // ends when streams are to end
	end     context.CancelFunc
	sockets []*socket      // the newest last; of Listen, then of the goroutine that watches, then of Serve
	conns   sync.WaitGroup // connections, each with the goroutine that runs its handler
}

// NewServer returns a server of handler. A handler has to return soon after the context of its request ends.
func NewServer(cfg ServerConfig, handler nethttp.Handler) *Server {
	return NewServerWith(cfg, Options{}, handler)
}

// NewServerWith is NewServer with options.
func NewServerWith(cfg ServerConfig, opts Options, handler nethttp.Handler) *Server {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if opts.Log == nil {
		opts.Log = log.Discard()
	}
	if opts.Mode == 0 {
		opts.Mode = 0o600
	}
	s := &Server{cfg: cfg, opts: opts, handler: handler, table: newTable(opts.MaxConns, opts.Log),
		header: headerTimeout, body: bodyTimeout}
	s.ending, s.end = context.WithCancel(context.Background())
	return s
}

// Listen opens the address, or takes it over from the server before. From then on callers wait in the queue of the
// system until Serve takes them. The folder of a unix socket is created.
func (s *Server) Listen() error {
	if err := s.cfg.Validate(); err != nil {
		return err
	}
	a, err := addr.Listen(s.cfg.Address, addr.Server...)
	if err != nil {
		return err
	}
	if s.cfg.Cert != "" {
		if s.secure, err = cert.Server(s.cfg.Config); err != nil {
			return err
		}
	}
	if err := s.listen(a); err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Address, err)
	}
	s.addr = s.sockets[len(s.sockets)-1].Addr()
	if host := s.cfg.host(); host != "" {
		s.cfg.Announce(host, s.opts.Log)
	}
	return nil
}

// Addr is where the server listens; with port 0 the system has chosen the port.
func (s *Server) Addr() net.Addr { return s.addr }

// Leave makes the end of Serve leave the listeners to the keeper, and the file of a unix socket where it is: the next
// server takes them over.
func (s *Server) Leave() { s.leaving.Store(true) }

// Serve answers requests until ctx ends, then lets running requests finish for some seconds, ends their contexts,
// waits for their handlers, and removes the socket unless it leaves. A socket file that somebody has removed is made
// anew within seconds.
func (s *Server) Serve(ctx context.Context) error {
	srv := s.server()
	failed := make(chan error, maxSockets) // full: the failures before are enough
	var accepting sync.WaitGroup
	accept := func(l *socket) {
		accepting.Go(func() {
			var in net.Listener = limited{l, s.table}
			if s.secure != nil {
				in = tls.NewListener(in, s.secure)
			}
			if err := srv.Serve(in); !errors.Is(err, nethttp.ErrServerClosed) && !l.closed.Load() {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	for _, l := range s.sockets {
		accept(l)
	}
	watch, stopWatching := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(watch, accept) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve %s: %w", s.cfg.Address, err)
	}
	s.end()
	stopWatching()
	watching.Wait()
	if s.opts.Keeper == nil || err == nil && !s.leaving.Load() {
		s.remove()
	}
	for _, l := range s.sockets {
		l.closed.Store(true)
		_ = l.Close()
	}
	accepting.Wait()
	if err == nil {
		// Not Shutdown, which drops requests that it has read, of callers whom the next server would have answered.
		srv.SetKeepAlivesEnabled(false)
		s.table.drain()
	}
	_ = srv.Close() // what did not finish in time
	s.conns.Wait()
	return err
}

func (s *Server) server() *nethttp.Server {
	return &nethttp.Server{
		Handler:           nethttp.HandlerFunc(s.serve),
		ReadHeaderTimeout: s.header,
		WriteTimeout:      s.cfg.Timeout + answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          stdlog.New(lines{s.opts.Log}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(_ net.Conn, state nethttp.ConnState) {
			switch state {
			case nethttp.StateNew: // by the goroutine that accepts, so never after it has ended
				s.conns.Add(1)
			case nethttp.StateClosed, nethttp.StateHijacked:
				s.conns.Done()
			}
		},
	}
}

// Close closes the listeners and removes the socket if Serve was not called.
func (s *Server) Close() error {
	s.remove()
	var errs []error
	for _, l := range s.sockets {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (s *Server) serve(w nethttp.ResponseWriter, r *nethttp.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	c.run(true)
	defer c.run(false)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	ctx = context.WithValue(ctx, endlessKey{}, endless{r.Context(), s.ending, &s.conns})
	if r.Body != nethttp.NoBody {
		control := nethttp.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(s.body)) // every connection of a server has deadlines
		r.Body = body{nethttp.MaxBytesReader(w, r.Body, MaxBody), w, r.Body, control, c}
	}
	s.handler.ServeHTTP(w, r.WithContext(ctx))
}

// body ends the time limit for a body with its last byte: from then on the server reads to learn when the client goes.
type body struct {
	io.ReadCloser
	w       nethttp.ResponseWriter
	all     io.ReadCloser // without the limit
	control *nethttp.ResponseController
	conn    *conn
}

// Allow lets the body of r, of which nothing was read yet, have up to n bytes in place of MaxBody.
func Allow(r *nethttp.Request, n int64) {
	if b, ok := r.Body.(body); ok {
		b.ReadCloser = nethttp.MaxBytesReader(b.w, b.all, n)
		r.Body = b
	}
}

func (b body) Read(p []byte) (int, error) {
	b.conn.wait(1)
	n, err := b.ReadCloser.Read(p)
	b.conn.wait(-1)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// lines passes on what net/http logs, which it writes a line at a time.
type lines struct{ log log.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Debugf("%s", p)
	return len(p), nil
}
