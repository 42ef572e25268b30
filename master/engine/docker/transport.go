//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/client"

	"github.com/baetyl/baetyl/master/engine"
)

// transport is the way to the daemon. A client of docker/docker has one API version for ever, and so there is one for
// each version that the daemon has: a daemon that comes back may be a newer one, which has given up the old version, or
// an older one. Each ping looks, and so does an answer 400, as "client version 1.41 is too old".
//
// The library speaks the versions 1.24 (docker 1.12) to 1.51 (docs/decisions/0007-docker-client.md).
//
// Errors wrap engine.ErrUnavailable when there was no answer. A request that took longer than its caller wanted is not
// among them: only a ping tells whether the daemon is away (Engine.judge).
type transport struct {
	host string // of the daemon; the environment was read once

	mu     sync.Mutex // guards what follows
	client *client.Client
	spoken string // API version of the daemon, as it said last; empty: it was not asked yet
}

func newTransport() (*transport, error) {
	c, err := client.NewClientWithOpts(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("docker client: %w", err)
	}
	return &transport{host: c.DaemonHost(), client: c}, nil
}

// anew returns another transport to the same daemon. It makes connections of its own: a daemon that ends takes no new
// ones, and goes on to answer those that it has.
func (t *transport) anew() (*transport, error) {
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithHost(t.host))
	if err != nil {
		return nil, fmt.Errorf("docker client: %w", err)
	}
	return &transport{host: t.host, client: c}, nil
}

// Ping asks whether the daemon answers, and in which API version from now on.
func (t *transport) Ping(ctx context.Context) error {
	t.mu.Lock()
	c := t.client
	t.mu.Unlock()
	said, err := c.Ping(ctx)
	if err != nil {
		return outage(err)
	}
	_, err = t.speak(said)
	return err
}

// speak returns the client for the version that the daemon said.
func (t *transport) speak(said types.Ping) (*client.Client, error) {
	version := said.APIVersion
	if version == "" {
		version = "unknown"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spoken == version {
		return t.client, nil
	}
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithHost(t.host), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("docker client: %w", err)
	}
	c.NegotiateAPIVersionPing(said)
	// The idle connections of the client before end by themselves, after 30 s (the library). Closing them would fail
	// requests that are about to take one.
	t.client, t.spoken = c, version
	return c, nil
}

// current returns a client that speaks the daemon's version, as far as is known.
func (t *transport) current(ctx context.Context) (*client.Client, error) {
	t.mu.Lock()
	c, known := t.client, t.spoken != ""
	t.mu.Unlock()
	if known {
		return c, nil
	}
	said, err := c.Ping(ctx)
	if err != nil {
		return nil, outage(err)
	}
	return t.speak(said)
}

// Version is the API version of the requests.
func (t *transport) Version() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.client.ClientVersion()
}

// Close ends the connections.
func (t *transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.client.Close()
}

// call makes a request, and once more when the daemon refused it and turns out to speak another version now. try makes
// the request anew each time, its body included.
func call[T any](ctx context.Context, t *transport, try func(*client.Client) (T, error)) (T, error) {
	c, err := t.current(ctx)
	if err != nil {
		var none T
		return none, err
	}
	out, err := try(c)
	if errdefs.IsInvalidArgument(err) {
		if said, failed := c.Ping(ctx); failed == nil {
			if next, failed := t.speak(said); failed == nil && next.ClientVersion() != c.ClientVersion() {
				out, err = try(next)
			}
		}
	}
	return out, outage(err)
}

// do is call for a request without an answer.
func (t *transport) do(ctx context.Context, do func(*client.Client) error) error {
	_, err := call(ctx, t, func(c *client.Client) (struct{}, error) { return struct{}{}, do(c) })
	return err
}

// outage marks errors of a daemon that did not answer, or not to the end.
func outage(err error) error {
	if err == nil || errors.Is(err, engine.ErrUnavailable) {
		return err
	}
	ended := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if ended || client.IsErrConnectionFailed(err) || errdefs.IsUnavailable(err) {
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	return err
}
