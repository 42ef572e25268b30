package baetyl

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// healthTimeout bounds each step of a request, and the checks of the module.
const healthTimeout = 5 * time.Second

// maxHealthHeader is how long the head of a request may be, in bytes.
const maxHealthHeader = 4 << 10

// CheckHealth adds a check to what the master is told when it asks whether the module works: an error says that it does
// not, and why. A check has to return soon after ctx ends. One round of checks runs at a time; one that does not end is
// an error, too.
func (c *moduleContext) CheckHealth(check func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks = append(c.checks, check)
}

// serveHealth answers the probes of the master until the returned func is called. Without a folder of the instance, as
// outside of a master and in instances that other services start, nobody asks.
func (c *moduleContext) serveHealth() (end func()) {
	dir := os.Getenv(masterapi.EnvRunDir)
	if dir == "" || masterapi.Getenv(masterapi.EnvServiceToken) == "" {
		return func() {}
	}
	path := filepath.Join(dir, masterapi.HealthSocket)
	_ = os.Remove(path) // what an instance before has left
	l, err := http.ListenUnix(path)
	if err != nil {
		c.log.WithError(err).Warnf("the master cannot ask whether this module works; it goes on without that")
		return func() {}
	}
	mux := nethttp.NewServeMux()
	mux.HandleFunc(masterapi.PathLive, c.answerHealth(c.live))
	mux.HandleFunc(masterapi.PathReady, c.answerHealth(func(ctx context.Context) error {
		return errors.Join(c.live(ctx), c.ready())
	}))
	s := &nethttp.Server{
		Handler: mux, ReadTimeout: healthTimeout, WriteTimeout: 2 * healthTimeout, IdleTimeout: healthTimeout,
		MaxHeaderBytes: maxHealthHeader,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	return func() {
		_ = os.Remove(path)
		_ = s.Close()
		<-done
	}
}

func (c *moduleContext) answerHealth(ask func(context.Context) error) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		if err := ask(ctx); err != nil {
			nethttp.Error(w, err.Error(), nethttp.StatusServiceUnavailable)
		}
	}
}

// live runs the checks of the module.
func (c *moduleContext) live(ctx context.Context) error {
	c.mu.Lock()
	checks := c.checks
	c.mu.Unlock()
	if len(checks) == 0 {
		return nil
	}
	select {
	case c.checking <- struct{}{}:
	case <-ctx.Done():
		return errors.New("the check before has not ended")
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-c.checking }()
		errs := make([]error, 0, len(checks))
		for _, check := range checks {
			errs = append(errs, check(ctx))
		}
		result <- errors.Join(errs...)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return errors.New("the check has not ended in time")
	}
}

// ready says which client of the hub is not connected.
func (c *moduleContext) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hubs {
		if !h.Stats().Connected {
			return fmt.Errorf("not connected with the hub at %s", c.config.Hub.Address)
		}
	}
	return nil
}
