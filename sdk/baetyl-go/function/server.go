package function

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// ServerConfig is the `server` section of a function runtime.
type ServerConfig struct {
	Address string `yaml:"address" json:"address"` // host:port, or unix:<path>
	// of one call: its context ends then
	Timeout    time.Duration `yaml:"timeout" json:"timeout" default:"2m" validate:"min=1"`
	Message    Length        `yaml:"message" json:"message"` // largest message, in and out
	Concurrent struct {
		Max uint32 `yaml:"max" json:"max"` // calls at once on one connection; 0: no limit
	} `yaml:"concurrent" json:"concurrent"`
	Workers struct {
		Max int `yaml:"max" json:"max" validate:"min=0"` // calls at once; more wait; 0: no limit
	} `yaml:"workers" json:"workers"`
	// Announced is how many calls at once the function manager gives to one instance unless
	// functions[].instance.concurrency says otherwise. It is for code that is made for it; 0 means 1.
	Announced int `yaml:"-" json:"-"`
	// of the instance, from the function manager: who does not know it gets no call. Empty: everybody may call
	Secret conf.Secret `yaml:"-" json:"-"`

	// PEM file of the authorities of clients: a client must present a certificate; needs key and cert
	CA       string `yaml:"ca" json:"ca"`
	Key      string `yaml:"key" json:"key"`           // PEM file; with cert it turns TLS on
	Cert     string `yaml:"cert" json:"cert"`         // PEM file
	Insecure bool   `yaml:"insecure" json:"insecure"` // plain tcp is meant, also where other hosts can reach it
}

// Validate checks the address and which certificate keys go together; it touches no file. The error starts with the
// key's name.
func (c ServerConfig) Validate() error {
	if err := addr.CheckListen(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	return c.certificates().CheckServer()
}

// Announce logs, once, what is to be said of the address and its certificate keys, as when others can read along.
func (c ServerConfig) Announce(l log.Logger) { c.certificates().Announce(c.Address, l) }

func (c ServerConfig) certificates() cert.Config {
	return cert.Config{CA: c.CA, Key: c.Key, Cert: c.Cert, Insecure: c.Insecure}
}

const (
	defaultMessageMax  = 4 << 20
	defaultCallTimeout = 2 * time.Minute
	graceful           = 5 * time.Second // that a server that ends waits for running calls
)

// Server serves a Call as a function runtime: over gRPC, with its health service, and, without TLS, over the pipe of
// protocol/function at the same address. Listen and Serve are called once, in this order.
type Server struct {
	protocol.UnimplementedFunctionServer
	cfg      ServerConfig
	call     Call
	listener net.Listener
	secure   *tls.Config   // nil: none
	workers  chan struct{} // one element for each running call; full: calls wait
}

// NewServer returns a server of call. Zero values in cfg mean the defaults.
func NewServer(cfg ServerConfig, call Call) *Server {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultCallTimeout
	}
	if cfg.Message.Length.Max <= 0 {
		cfg.Message.Length.Max = defaultMessageMax
	}
	s := &Server{cfg: cfg, call: call}
	if cfg.Workers.Max > 0 {
		s.workers = make(chan struct{}, cfg.Workers.Max)
	}
	return s
}

// Listen reads the certificates and opens the address.
func (s *Server) Listen() error {
	c := s.cfg.certificates()
	err := c.CheckServer()
	if err == nil && c.Cert != "" {
		s.secure, err = cert.Server(c)
	}
	if err != nil {
		return fmt.Errorf("listen for function calls: server.%w", err)
	}
	network, address := networkOf(s.cfg.Address)
	if network == "unix" {
		err = removeSocket(address)
	}
	var l net.Listener
	if err == nil {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return fmt.Errorf("listen for function calls: %w", err)
	}
	s.listener = l
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers calls until ctx ends, then waits some seconds for those that run.
func (s *Server) Serve(ctx context.Context) error {
	defer s.listener.Close() // also where Serve below is not reached
	opts := []grpc.ServerOption{
		grpc.ConnectionTimeout(acceptTimeout),
		grpc.MaxRecvMsgSize(s.cfg.Message.Length.Max.Int()),
		grpc.MaxSendMsgSize(s.cfg.Message.Length.Max.Int()),
	}
	if s.cfg.Concurrent.Max > 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(s.cfg.Concurrent.Max))
	}
	if s.cfg.Secret != "" {
		opts = append(opts, grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
	}
	if s.secure != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.secure)))
	}
	g := grpc.NewServer(opts...)
	protocol.RegisterFunctionServer(g, s)
	healthpb.RegisterHealthServer(g, health.NewServer())
	kill, end := context.WithCancel(context.Background())
	defer end()
	m := &mux{Listener: s.listener, server: s, grpc: make(chan net.Conn), ctx: ctx, kill: kill}
	listener := s.listener
	if s.secure == nil {
		listener = grpcListener{m}
		m.work.Go(m.accept)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(listener) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		limit := time.AfterFunc(graceful, func() { g.Stop(); end() })
		defer limit.Stop()
		s.listener.Close()
		g.GracefulStop()
		err = <-ended
	}
	s.listener.Close()
	m.work.Wait()
	if ctx.Err() == nil {
		return fmt.Errorf("serve function calls: %w", err)
	}
	return nil
}

// Call implements the service.
func (s *Server) Call(ctx context.Context, m *Message) (out *Message, err error) {
	if s.call == nil {
		return nil, status.Error(codes.Unimplemented, "handle not implemented")
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if s.workers != nil {
		select {
		case s.workers <- struct{}{}:
			defer func() { <-s.workers }()
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	defer func() {
		if p := recover(); p != nil {
			err = status.Errorf(
				codes.Unknown,
				"Exception calling application: ('[UserCodeInvoke]', panic: %v)\n%s",
				p,
				debug.Stack(),
			)
		}
	}()
	out, err = s.call(ctx, m)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if _, ok := status.FromError(err); ok {
		return nil, err
	}
	return nil, status.Errorf(codes.Unknown, "Exception calling application: %v", err)
}
