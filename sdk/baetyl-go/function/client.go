package function

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// ClientConfig says how a function runtime is reached.
type ClientConfig struct {
	Address string `yaml:"address" json:"address"` // host:port
	Message Length `yaml:"message" json:"message"` // largest message, in and out
	Backoff struct {
		Max time.Duration `yaml:"max" json:"max" default:"1m" validate:"min=1"` // longest delay between attempts to connect
	} `yaml:"backoff" json:"backoff"`
	// of Connect, and of each call
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"30s" validate:"min=1"`
	// Call fails at once while there is no connection, instead of waiting for one
	FailFast bool `yaml:"-" json:"-"`
	// Connect tries the pipe of protocol/function before gRPC; there is one connection then, which is not made again.
	// Not with TLS
	Pipe        bool                            `yaml:"-" json:"-"`
	cert.Config `yaml:",inline" json:",inline"` // any of them turns TLS on
}

// connects are the delays between attempts to reach an instance that starts: it is there in a moment.
var connects = backoff.Policy{Min: 5 * time.Millisecond, Max: 100 * time.Millisecond, Jitter: 0.2}

// helloTimeout is how long a peer may take to accept a connection, and to answer a hello.
const helloTimeout = 3 * time.Second

// Client calls a function runtime. It may be used from any goroutine, Connect before all others.
type Client struct {
	cfg    ClientConfig
	conn   *grpc.ClientConn
	client protocol.FunctionClient
	pipe   *pipeCalls // nil: gRPC
}

// NewClient returns a client. It connects with the first call, or with Connect. Zero values in cfg mean the defaults.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Backoff.Max <= 0 {
		cfg.Backoff.Max = time.Minute
	}
	if cfg.Message.Length.Max <= 0 {
		cfg.Message.Length.Max = conf.Size(defaultMessageMax)
	}
	creds := insecure.NewCredentials()
	if !cfg.Config.Empty() {
		tls, err := cert.Client(cfg.Config)
		if err != nil {
			return nil, fmt.Errorf("make function client: %w", err)
		}
		creds = credentials.NewTLS(tls)
	}
	delays := grpcbackoff.DefaultConfig
	// an instance that starts is there in a moment; gRPC's second would be the cold start
	delays.BaseDelay = 10 * time.Millisecond
	delays.MaxDelay = cfg.Backoff.Max
	// passthrough: the name is resolved at each attempt, since a container's name appears when it starts.
	conn, err := grpc.NewClient("passthrough:///"+cfg.Address,
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: cfg.Timeout}),
		grpc.WithIdleTimeout(0), // an idle connection must not look like a lost one (Lost)
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(!cfg.FailFast),
			grpc.MaxCallRecvMsgSize(cfg.Message.Length.Max.Int()), grpc.MaxCallSendMsgSize(cfg.Message.Length.Max.Int())))
	if err != nil {
		return nil, fmt.Errorf("make function client of %s: %w", cfg.Address, err)
	}
	return &Client{cfg: cfg, conn: conn, client: protocol.NewFunctionClient(conn)}, nil
}

// Connect blocks until the runtime takes calls, ctx ends, or the timeout has passed.
func (c *Client) Connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if c.cfg.Pipe {
		pipe, err := c.dial(ctx)
		if err == nil {
			c.pipe = newPipeCalls(pipe)
		}
		if !errors.Is(err, protocol.ErrNoPipe) {
			return err
		}
	}
	for {
		s := c.conn.GetState()
		switch s {
		case connectivity.Ready:
			return nil
		case connectivity.Idle:
			c.conn.Connect()
		}
		if !c.conn.WaitForStateChange(ctx, s) {
			return fmt.Errorf("connect function instance at %s: %w", c.cfg.Address, ctx.Err())
		}
	}
}

// dial connects a pipe. It tries again until something listens.
func (c *Client) dial(ctx context.Context) (*protocol.Pipe, error) {
	dialer := net.Dialer{Timeout: helloTimeout}
	for attempt := 0; ; attempt++ {
		conn, err := dialer.DialContext(ctx, "tcp", c.cfg.Address)
		if err == nil {
			p, err := hello(ctx, conn)
			if err == nil {
				p.Max, p.Timeout = c.cfg.Message.Length.Max.Int(), c.cfg.Timeout
				return p, nil
			}
			conn.Close()
			return nil, fmt.Errorf("connect function instance at %s: %w", c.cfg.Address, err)
		}
		t := time.NewTimer(min(connects.Delay(attempt, rand.Float64()), c.cfg.Backoff.Max))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("connect function instance at %s: %w (%w)", c.cfg.Address, ctx.Err(), err)
		}
	}
}

// hello begins a pipe on a connection. Something that listens and says nothing within some seconds is left to gRPC,
// which waits longer.
func hello(ctx context.Context, conn net.Conn) (*protocol.Pipe, error) {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p, err := protocol.Dial(conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil {
		return nil, protocol.ErrNoPipe
	}
	_ = conn.SetDeadline(time.Time{})
	return p, err
}

// Concurrent is how many calls at once the runtime wants; 0 when it does not say.
func (c *Client) Concurrent() int {
	if c.pipe == nil {
		return 0
	}
	return c.pipe.pipe.Concurrent
}

// Lost blocks until the connection that Connect made has ended or ctx ends; it tells which. The runtime may be gone, or
// may have closed the connection.
func (c *Client) Lost(ctx context.Context) bool {
	if c.pipe != nil {
		select {
		case <-c.pipe.ended:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	}
	c.conn.WaitForStateChange(ctx, connectivity.Ready)
	return ctx.Err() == nil
}

// Call calls the runtime within the timeout. An error has a gRPC status.
func (c *Client) Call(ctx context.Context, m *Message) (*Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if c.pipe != nil {
		return c.pipe.call(ctx, m)
	}
	return c.client.Call(ctx, m)
}

// Close ends the connection; running calls fail.
func (c *Client) Close() error {
	if c.pipe != nil {
		_ = c.pipe.pipe.Close() // the only error is that it is closed already
	}
	return c.conn.Close()
}
