//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baetyl/baetyl/master/engine"
)

const (
	pingTimeout    = 10 * time.Second // for an answer to ping
	requestTimeout = 2 * time.Minute  // for one request; a slow disk makes a start slow
	lateTimeout    = 10 * time.Second // for a start to end whose caller has gone
	removeTimeout  = 15 * time.Second // for the removal of a container; without an answer it stays until the next start
	daemonInterval = time.Second      // between pings while the daemon does not answer
)

// ping asks whether the daemon answers, and logs when that has changed. The error wraps engine.ErrUnavailable when
// there was no answer; another one is what the daemon says to everybody, as one that refuses this user.
func (e *Engine) ping(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := e.api.Ping(asked)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) || errdefs.IsInternal(err) {
		err = fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	away := errors.Is(err, engine.ErrUnavailable)
	e.mu.Lock()
	changed := e.away != away
	if e.away = away; !away {
		clear(e.told)
	}
	e.mu.Unlock()
	switch {
	case away:
		err = fmt.Errorf("docker daemon does not answer: %w", err)
	case err != nil:
		err = fmt.Errorf("docker daemon refuses a ping: %w", err)
	}
	switch {
	case changed && away:
		e.opts.Log.WithError(err).Errorf("services start when the docker daemon answers")
	case changed:
		e.opts.Log.WithField("api", e.api.Version()).Infof("docker daemon answers")
	}
	return err
}

// await returns when the daemon answers. If it does not, the first call for a key returns an error, so that inspect
// shows it; later calls wait for the daemon, so that a service starts as soon as it is back.
func (e *Engine) await(ctx context.Context, key string) error {
	err := e.ping(ctx)
	away := errors.Is(err, engine.ErrUnavailable)
	e.mu.Lock()
	told := e.told[key]
	if away {
		e.told[key] = true
	}
	e.mu.Unlock()
	if !away || !told {
		return err
	}
	tick := time.NewTicker(daemonInterval)
	defer tick.Stop()
	for errors.Is(err, engine.ErrUnavailable) {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
			err = e.ping(ctx)
		}
	}
	return err
}

// judge says whose fault an error of a start is. Without an answer of the daemon it is nobody's: then it wraps
// engine.ErrUnavailable. What the daemon says of the request itself is the service's, at once. For all else, as a
// deadline of this engine, the daemon is asked whether it is there.
func (e *Engine) judge(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, engine.ErrUnavailable):
		return err
	case errdefs.IsInvalidArgument(err) || errdefs.IsNotFound(err) || errdefs.IsConflict(err):
		return err
	}
	if away := e.ping(ctx); errors.Is(away, engine.ErrUnavailable) {
		return fmt.Errorf("%w: %w", away, err)
	}
	return err
}
