// Package application runs the services of one application, and changes which ones run when it is told to.
//
//	Start: take over what an earlier master left ─► every service, in its order
//	Diff(old, new) ─► Plan ─► Prepare ─► Change: stop, start ─► AwaitHealthy
//
// It promises that an error of one service does not affect the others, and that Failure returns what is wrong with the
// application. It does not know where an application comes from, nor what an update is; master/update decides that.
package application

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// File is where the application lies, relative to the working directory of the master.
const File = "var/db/baetyl/application.yml"

// How long Start waits for the first start of services before it goes on: of all together, and of each at least.
const (
	startTimeout    = 30 * time.Second
	minStartTimeout = time.Second
)

// Options are the parts that an Application works with.
type Options struct {
	Engine   engine.Engine
	Services *service.Manager
	Log      log.Logger
	Workdir  string    // where LastFile is; empty: no copy is kept
	Disk     file.Disk // where Workdir is; by default that of this machine
}

// Application is what runs. One goroutine starts and changes it; Current, Set, Note
// and Failure may be called from any.
type Application struct {
	opts Options

	mu      sync.Mutex // guards what follows
	conf    *app.Config
	next    *app.Config // that an update is changing to; nil: none
	data    []byte      // of the file that conf was read from
	last    *app.Config // the copy, once it was kept; nil: there may be none
	failure string      // for inspect

	tell func(text string) // what Change does; written before anything runs
}

// New returns an application without services. It starts nothing.
func New(opts Options) *Application {
	return &Application{opts: opts, conf: &app.Config{}, tell: func(string) {}}
}

// Tell sets what is told each step of Change, for people. It is called before anything runs.
func (a *Application) Tell(tell func(text string)) { a.tell = tell }

// Start starts all services of c, which was read from data. What an earlier master left and c still wants as it was is
// taken over, running or not; the rest is ended first, and if that fails, the application starts all the same. Start
// returns early when ctx ends. It waits for each service for a limited time (startTimeout, minStartTimeout); the
// supervisor goes on with one that cannot start.
func (a *Application) Start(ctx context.Context, c *app.Config, data []byte) {
	a.set(c, data)
	order, err := app.Order(c.Services)
	if err != nil {
		a.Note(err) // not reached: it has been validated
		return
	}
	specs := make([]engine.Service, 0, len(order))
	for _, s := range order {
		specs = append(specs, ServiceOf(c, s))
	}
	if err := a.opts.Services.TakeOver(ctx, specs); err != nil {
		a.opts.Log.WithError(err).
			Warnf("instances of an earlier master may still run; the application is started all the same")
	}
	a.keep(c, data)
	until := time.Now().Add(startTimeout)
	for _, s := range specs {
		if ctx.Err() != nil {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, max(time.Until(until), minStartTimeout))
		_ = a.opts.Services.Start(bounded, s) // logged and tried again by the supervisor, shown by inspect
		cancel()
	}
	a.opts.Log.WithField("version", c.Version).Infof("application started, services: %d", len(c.Services))
}

// Prepare pulls or checks what the services need that p starts (images, sources of mounts). It stops nothing.
func (a *Application) Prepare(ctx context.Context, p Plan, to *app.Config) error {
	for _, c := range p.Start {
		if err := a.opts.Engine.Prepare(ctx, ServiceOf(to, c.Service)); err != nil {
			return fmt.Errorf("service %s: %w", c.Service.Name, err)
		}
	}
	return nil
}

// Change carries a plan out. It returns at the first service that cannot start; if all is true, it starts the others
// too, and returns all errors. An engine that is not available is waited for until ctx ends, so that the order holds.
// If all is true that is left to the supervisor, which starts the services as soon as the engine is back.
func (a *Application) Change(ctx context.Context, p Plan, to *app.Config, all bool) error {
	names := make([]string, 0, len(p.Stop))
	for _, c := range p.Stop {
		a.opts.Log.WithField(log.KeyService, c.Service.Name).WithField(log.KeyReason, c.Reason).
			Infof("service is stopped by an update")
		a.tell(fmt.Sprintf("service %s stops: %s", c.Service.Name, c.Reason))
		names = append(names, c.Service.Name)
	}
	errs := []error{a.stop(names...)}
	fault.At("stopped")
	for _, c := range p.Start {
		if err := errors.Join(errs...); err != nil && !all {
			return err
		}
		a.tell(fmt.Sprintf("service %s starts: %s", c.Service.Name, c.Reason))
		err := a.opts.Services.Start(ctx, ServiceOf(to, c.Service))
		if errors.Is(err, engine.ErrUnavailable) {
			a.opts.Log.WithError(err).Warnf("service starts when the engine is back")
			if err = nil; !all {
				err = a.opts.Services.AwaitHealthy(ctx, 0, c.Service.Name)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("start service %s: %w", c.Service.Name, err))
		}
	}
	if all { // otherwise it may be changed back, and Set comes when it stays
		a.opts.Services.Settled()
	}
	return errors.Join(errs...)
}

// AwaitHealthy waits until every instance that p started has stayed up for that long, or until one is given
// up, or ctx ends; then it returns the reason.
func (a *Application) AwaitHealthy(ctx context.Context, p Plan, healthy time.Duration) error {
	return a.opts.Services.AwaitHealthy(ctx, healthy, p.Started()...)
}

// StopAll stops all services, each within its grace time; what still runs then is killed.
func (a *Application) StopAll() error {
	return a.stop(a.opts.Services.Names()...)
}

// Left tells whether an earlier master has left instances when it ended without stopping them. It is called before
// Start.
func (a *Application) Left() bool { return a.opts.Services.Left() }

// Leave ends the supervision and leaves all services running for the next master. Nothing of the application may be
// called after it.
func (a *Application) Leave() { a.opts.Services.Leave() }

func (a *Application) stop(names ...string) error {
	return a.opts.Services.Stop(context.Background(), names...)
}

// Current returns the application that runs, and the content of its file.
func (a *Application) Current() (*app.Config, []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conf, a.data
}

// Set records which application runs, after Change.
func (a *Application) Set(c *app.Config, data []byte) {
	a.set(c, data)
	a.keep(c, data)
	a.opts.Services.Settled()
}

func (a *Application) set(c *app.Config, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conf, a.data, a.next = c, data, nil
}

// Note keeps what is wrong with the application for inspect; nil clears it.
func (a *Application) Note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = ""
	if err != nil {
		a.failure = err.Error()
		a.opts.Log.WithError(err).Errorf("error of the application or its update; inspect shows it until an update succeeds")
	}
}

// Failure returns what is wrong with the application, empty when nothing is.
func (a *Application) Failure() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}

// ServiceOf returns a service with the volumes and networks that its definition refers to.
func ServiceOf(c *app.Config, s app.Service) engine.Service {
	out := engine.Service{
		Service: s, Volumes: map[string]app.Volume{}, Networks: c.NetworksOf(s), Uses: map[string]engine.Use{},
	}
	for _, m := range s.Mounts {
		out.Volumes[m.Name], out.Uses[m.Name] = c.Volume(m.Name), engine.UseOf(c, m.Name)
	}
	return out
}
