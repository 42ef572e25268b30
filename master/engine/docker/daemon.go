//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pingTimeout    = 10 * time.Second // for an answer to ping
	requestTimeout = 2 * time.Minute  // for one request; a slow disk makes a start slow
	lateTimeout    = 10 * time.Second // for a start to end whose caller has gone
	removeTimeout  = 15 * time.Second // for the removal of a container; without an answer it stays until the next start
	daemonInterval = time.Second      // between pings while the daemon does not answer
)

// ping asks whether the daemon answers, and logs when that has changed.
func (e *Engine) ping(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := e.api.Ping(asked)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.mu.Lock()
	changed := e.away != (err != nil)
	if e.away = err != nil; !e.away {
		clear(e.told)
	}
	e.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("docker daemon does not answer: %w", err)
	}
	switch {
	case changed && err != nil:
		e.opts.Log.WithError(err).Errorf("services start when the docker daemon answers")
	case changed:
		e.opts.Log.WithField("api", e.api.ClientVersion()).Infof("docker daemon answers")
	}
	return err
}

// await returns when the daemon answers. If it does not, the first call for a key returns an error, so that inspect
// shows it; later calls wait for the daemon, so that a service starts as soon as it is back, whatever the backoff.
func (e *Engine) await(ctx context.Context, key string) error {
	err := e.ping(ctx)
	e.mu.Lock()
	told := e.told[key]
	if err != nil {
		e.told[key] = true
	}
	e.mu.Unlock()
	if err == nil || !told {
		return err
	}
	tick := time.NewTicker(daemonInterval)
	defer tick.Stop()
	for err != nil {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
			err = e.ping(ctx)
		}
	}
	return nil
}
