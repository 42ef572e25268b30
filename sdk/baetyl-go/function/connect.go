package function

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/utils/backoff"
)

// connects are the delays between attempts to reach an instance that starts: it is there in a moment, and an attempt
// costs a thousandth of the longest delay.
var connects = backoff.Policy{Min: 2 * time.Millisecond, Max: 10 * time.Millisecond, Jitter: 0.2}

// helloTimeout is how long a peer may take to accept a connection, and to answer a hello.
const helloTimeout = 3 * time.Second

// Connect blocks until the runtime takes calls, ctx ends, or the timeout has passed.
func (c *Client) Connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.cfg.Start, c.cfg.Timeout))
	defer cancel()
	if c.cfg.Pipe {
		pipe, err := c.dial(ctx)
		if err == nil {
			c.pipe = newPipeCalls(pipe, c.cfg.Timeout)
		}
		if !errors.Is(err, protocol.ErrNoPipe) {
			return err
		}
	}
	if err := c.await(ctx); err != nil {
		return err
	}
	c.proved = c.cfg.Secret != "" && c.refused(ctx)
	return nil
}

// await waits until gRPC has a connection.
func (c *Client) await(ctx context.Context) error {
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

// refused tells whether the runtime answers nobody without the secret.
func (c *Client) refused(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	_, err := healthpb.NewHealthClient(c.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return status.Code(err) == codes.Unauthenticated
}

// networkOf splits an address as net.Dial and net.Listen take it.
func networkOf(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// errSilent: something listens, and says nothing for some seconds. It is left to gRPC, which waits longer.
var errSilent = fmt.Errorf("%w: it does not answer within %s", protocol.ErrNoPipe, helloTimeout)

// dial connects a pipe: with the secret, and if the runtime is older than that, without.
func (c *Client) dial(ctx context.Context) (*protocol.Pipe, error) {
	p, err := c.hello(ctx, string(c.cfg.Secret))
	if c.cfg.Secret != "" && errors.Is(err, protocol.ErrNoPipe) && !errors.Is(err, errSilent) {
		return c.hello(ctx, "")
	}
	return p, err
}

// hello connects, and begins a pipe. It tries again until something listens.
func (c *Client) hello(ctx context.Context, secret string) (*protocol.Pipe, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect function instance at %s: %w", c.cfg.Address, err)
	}
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p, err := protocol.Dial(conn, secret)
	if err != nil {
		conn.Close()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil {
			err = errSilent
		}
		return nil, fmt.Errorf("connect function instance at %s: %w", c.cfg.Address, err)
	}
	_ = conn.SetDeadline(time.Time{})
	p.Max = c.cfg.Message.Length.Max.Int() // no timeout of writes: that of calls ends the connection too
	return p, nil
}

// connect tries until something listens.
func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: helloTimeout}
	network, address := networkOf(c.cfg.Address)
	for attempt := 0; ; attempt++ {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		t := time.NewTimer(min(connects.Delay(attempt, rand.Float64()), c.cfg.Backoff.Max))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
	}
}

// Protected tells whether only who knows the secret of the instance, or may open its socket, can call the runtime that
// Connect has found or answer in its place.
func (c *Client) Protected() bool {
	network, _ := networkOf(c.cfg.Address)
	return network == "unix" || !c.cfg.Config.Empty() || c.proved || c.pipe != nil && c.pipe.pipe.Version > 1
}
