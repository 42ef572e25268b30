//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pingPatience = 10 * time.Second // for the daemon to say that it is there
	patience     = 2 * time.Minute  // for one request; a slow disk makes a start slow
	pollDaemon   = time.Second      // between looks whether an absent daemon has come
)

// ping asks the daemon whether it is there. The log tells when that has changed.
func (e *Engine) ping(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, pingPatience)
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

// await returns when the daemon is there. The first time that it is not, for a key, is an error, so that it shows in
// inspect; then await waits for the daemon, so that its return is no matter of the backoff.
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
	tick := time.NewTicker(pollDaemon)
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
