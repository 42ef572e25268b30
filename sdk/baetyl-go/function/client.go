package function

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// ClientConfig says how a function runtime is reached.
type ClientConfig struct {
	Address string `yaml:"address" json:"address"` // host:port, or unix:<path>
	Message Length `yaml:"message" json:"message"` // largest message, in and out
	Backoff struct {
		Max time.Duration `yaml:"max" json:"max" default:"1m" validate:"min=1"` // longest delay between attempts to connect
	} `yaml:"backoff" json:"backoff"`
	// of each call, and of Connect unless Start is set
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"30s" validate:"min=1"`
	Start   time.Duration `yaml:"-" json:"-"` // of Connect; 0: Timeout
	// Call fails at once while there is no connection, instead of waiting for one
	FailFast bool `yaml:"-" json:"-"`
	// Connect tries the pipe of protocol/function before gRPC; there is one connection then, which is not made again.
	// It ends when a call is not answered in time. Not with TLS
	Pipe bool `yaml:"-" json:"-"`
	// of the instance: with it a pipe proves both sides, and gRPC carries it as metadata; empty: none
	Secret      conf.Secret                     `yaml:"-" json:"-"`
	cert.Config `yaml:",inline" json:",inline"` // any of them turns TLS on
}

// ErrNotBegun is the error of a call that the runtime had not begun when the connection ended: it may be sent to
// another instance, and did not end this one.
var ErrNotBegun = status.Error(codes.Unavailable, "the instance ended before it began the call")

// Answer is how a call has ended.
type Answer struct {
	Message *Message
	Err     error         // has a gRPC status
	Took    time.Duration // from when the runtime began the call; zero if it did not
}

// Client calls a function runtime. It may be used from any goroutine, Connect before all others.
type Client struct {
	cfg    ClientConfig
	conn   *grpc.ClientConn
	client protocol.FunctionClient
	pipe   *pipeCalls // nil: gRPC
	proved bool       // see Protected; written by Connect
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
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: cfg.Timeout}),
		grpc.WithIdleTimeout(0), // an idle connection must not look like a lost one (Lost)
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(!cfg.FailFast),
			grpc.MaxCallRecvMsgSize(cfg.Message.Length.Max.Int()), grpc.MaxCallSendMsgSize(cfg.Message.Length.Max.Int())),
	}
	if network, path := networkOf(cfg.Address); network == "unix" {
		opts = append(opts, grpc.WithAuthority("localhost"), // a path is no name of a host
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, path)
			}))
	}
	conn, err := grpc.NewClient("passthrough:///"+cfg.Address, opts...)
	if err != nil {
		return nil, fmt.Errorf("make function client of %s: %w", cfg.Address, err)
	}
	return &Client{cfg: cfg, conn: conn, client: protocol.NewFunctionClient(conn)}, nil
}

// Concurrent is how many calls at once the runtime wants; 0 when it does not say.
func (c *Client) Concurrent() int {
	if c.pipe == nil {
		return 0
	}
	return c.pipe.pipe.Concurrent
}

// Queue is how many calls may wait in the runtime beside those that it handles; 0 when it does not say.
func (c *Client) Queue() int {
	if c.pipe == nil {
		return 0
	}
	return c.pipe.pipe.Queue
}

// Room is how many of wanted calls at once the runtime takes: it may refuse more than it handles and lets wait.
func (c *Client) Room(wanted int) int {
	if c.pipe == nil || c.pipe.pipe.Version < 2 {
		return wanted
	}
	return min(wanted, max(c.pipe.pipe.Concurrent, 1)+c.pipe.pipe.Queue)
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
	if c.pipe == nil {
		ctx, cancel := context.WithTimeout(c.outgoing(ctx), c.cfg.Timeout)
		defer cancel()
		return c.client.Call(ctx, m)
	}
	answer := make(chan Answer, 1)
	call := c.pipe.begin(m, func(a Answer) { answer <- a })
	select {
	case a := <-answer:
		return a.Message, a.Err
	case <-ctx.Done():
		if c.pipe.cancel(call) {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		a := <-answer
		return a.Message, a.Err
	}
}

// Begin begins a call and returns at once. The runtime gets calls in the order of Begin. done is called once, from
// another goroutine, and must not block: it holds up the answers of other calls.
func (c *Client) Begin(m *Message, done func(Answer)) {
	if c.pipe != nil {
		c.pipe.begin(m, done)
		return
	}
	go func() {
		began := time.Now()
		out, err := c.Call(context.Background(), m)
		done(Answer{Message: out, Err: err, Took: time.Since(began)})
	}()
}

// outgoing adds the secret to the metadata of a call.
func (c *Client) outgoing(ctx context.Context) context.Context {
	if c.cfg.Secret == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, protocol.SecretMetadata, string(c.cfg.Secret))
}

// Close ends the connection; running calls fail. It waits for that, so done of Begin must not call it.
func (c *Client) Close() error {
	if c.pipe != nil {
		c.pipe.close()
	}
	return c.conn.Close()
}
