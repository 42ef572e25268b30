// Package service keeps the services of an application running: it starts their instances, starts again what ends as
// the restart policy says, and stops them.
//
//	Manager ─► service (one per name) ─► slot (one per instance name) ─► instance: the supervisor's loop ─► engine
//	             token, sandbox              one start or stop at a time       state for inspect            └► Records
//	TakeOver: Records of an earlier master ─► adopt what is still wanted, end the rest
//	Leave: the supervision ends, everything runs on for the next master
//
// It promises that an instance name has one instance at most, that nothing is started after its service was stopped,
// that Stop returns when nothing of the service is left, and that a service which cannot start does not affect
// the others. It knows nothing of application files, updates or HTTP.
package service

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/sample"
)

// Errors that callers tell apart (errors.Is).
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
	ErrLimit    = errors.New("limit reached")
	ErrStopped  = errors.New("is being stopped")
	ErrExists   = errors.New("is running already")
	// whoever asks: the definition of the service does not allow it
	ErrForbidden = errors.New("not allowed")
)

// Options are what a Manager works with.
type Options struct {
	Engine  engine.Engine
	Records *Records
	Stops   *Stops            // services that are stopped by hand; nil: no later master knows of them
	Env     map[string]string // system variables that are the same for every instance
	Grace   time.Duration     // between asking an instance to end and killing it, of services without their own
	Log     log.Logger
	Boot    string // identifies this boot of the machine; empty: not known
	// Reading is how long Records are tried to be read. Without them every service is ended and started anew, which no
	// passing trouble of the machine is worth; but a device without a master is worse. 0: a minute
	Reading time.Duration
	Events  *events.Ring // is told of services and instances; nil: nobody wants to know
}

// Manager holds the running services. Its methods may be called from any goroutine.
type Manager struct {
	opts  Options
	grace atomic.Int64 // of services without one of their own
	usage *sample.Cache[map[*instance]usage]

	changes changes       // told of what others may wait for
	freezes atomic.Uint64 // times that instances were frozen, and that they went on

	known     chan struct{} // closed by TakeOver
	reporting sync.Mutex    // serializes Report; taken before mu

	mu       sync.Mutex // guards what follows
	services map[string]*service
	left     bool // by Leave
}

// New returns a Manager without services.
func New(opts Options) *Manager {
	if opts.Stops == nil {
		opts.Stops = &Stops{all: map[string]Stop{}}
	}
	m := &Manager{opts: opts, services: map[string]*service{}, known: make(chan struct{})}
	m.SetGrace(opts.Grace)
	m.usage = sample.New(time.Second, 80*time.Millisecond, m.measure) // in all, inspect stays below 100 ms
	return m
}

// Known returns a channel that is closed when the services of an earlier master are there, with their tokens.
func (m *Manager) Known() <-chan struct{} { return m.known }

// SetGrace changes Options.Grace for the stops that begin from now on.
func (m *Manager) SetGrace(grace time.Duration) { m.grace.Store(int64(grace)) }

// Run measures the instances when Inspect asks for it, until ctx ends.
func (m *Manager) Run(ctx context.Context) error { return m.usage.Run(ctx) }

// Start starts the replicas of a service, waits for the first start of each, and returns their errors. The service
// exists in any case, and its restart policy decides whether a failed replica is tried again. Only ErrExists means that
// nothing was done.
//
// A service that is stopped by hand exists, and starts nothing. After TakeOver it starts what is missing of the
// service, and waits for what is adopted.
func (m *Manager) Start(ctx context.Context, spec engine.Service) error {
	s, err := m.enter(spec)
	if err != nil || s.stopped != nil {
		return err
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	try := func(start func() error) {
		wg.Go(func() {
			err := start()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	here := map[string]bool{}
	for _, i := range s.list() {
		here[i.name] = true
		try(func() error { return s.resume(ctx, i) })
	}
	for n := range spec.Replica {
		if name := replicaName(spec.Name, n); !here[name] {
			try(func() error { return s.start(ctx, name, Record{}) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// enter makes the service, or returns the one that was taken over, once.
func (m *Manager) enter(spec engine.Service) (*service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[spec.Name]
	switch {
	case m.left:
		return nil, fmt.Errorf("service (%s) %w", spec.Name, ErrStopped)
	case s == nil:
		s = newService(m, spec)
		if s.stopped = m.opts.Stops.of(spec.Name, s.digest); s.stopped != nil {
			m.opts.Log.WithField(log.KeyService, spec.Name).Infof("service stays stopped, as by hand")
		}
		m.services[spec.Name] = s
		m.opts.Events.Add(masterapi.EventServiceStarted, spec.Name, "", "service started", nil)
	case !s.waiting:
		return nil, fmt.Errorf("service (%s) %w", spec.Name, ErrExists)
	}
	s.waiting = false
	return s, nil
}

// leaveTimeout bounds Leave. A start that goes on after it is found by its handle (engine.Sandbox.Adopt).
const leaveTimeout = 5 * time.Second

// Leave ends the supervision and leaves everything running for the next master. It returns when nothing is started or
// written any more, or after five seconds. From then on Start and StartInstance are ErrStopped, and Stop does nothing.
func (m *Manager) Leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	m.opts.Records.freeze(ctx)
	m.mu.Lock()
	m.left = true
	all := make([]*service, 0, len(m.services))
	for _, s := range m.services {
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		s.leave(ctx)
	}
}

// replicaName is the service's name for the first replica, then <service>.i1 and so on.
func replicaName(service string, n int) string {
	if n == 0 {
		return service
	}
	return fmt.Sprintf("%s.i%d", service, n)
}

// Stop stops services: together, but each after those that depend on it, and with a grace time of its own from then on.
// What has not ended then, or when ctx ends, is killed. It returns when nothing is left. Unknown names are ignored.
func (m *Manager) Stop(ctx context.Context, names ...string) error {
	stopping := map[string]*service{}
	gone := map[string]chan struct{}{}
	m.mu.Lock()
	for _, n := range names {
		if s := m.services[n]; s != nil && !m.left {
			stopping[n], gone[n] = s, make(chan struct{})
		}
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, s := range stopping {
		wg.Go(func() {
			defer close(gone[name])
			for other, o := range stopping {
				if o.spec.DependsOn.Has(name) {
					<-gone[other] // no cycle: the application was validated
				}
			}
			until, cancel := context.WithTimeout(ctx, s.grace())
			err := s.stopAll(until)
			cancel()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("stop service %s: %w", name, err))
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.services[name] == s {
				delete(m.services, name)
			}
			m.opts.Log.WithField(log.KeyService, name).Infof("service stopped")
			m.opts.Events.Add(masterapi.EventServiceStopped, name, "", "service stopped", nil)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Names returns the names of the services, sorted.
func (m *Manager) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.services))
	for n := range m.services {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// maxName is more than a service may be called: near names are looked for up to that.
const maxName = 256

func (m *Manager) service(name string) (*service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[name]; s != nil {
		return s, nil
	}
	hint := ""
	if len(name) <= maxName {
		if near := conf.Near(name, slices.Sorted(maps.Keys(m.services))); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
	}
	return nil, fmt.Errorf("service (%s) %w%s", name, ErrNotFound, hint)
}

// member is a service as engines know it, also one that is not there any more; the zero value for no name.
func (m *Manager) member(name string) engine.Member {
	s, err := m.service(name)
	if err != nil {
		return engine.Member{Service: name}
	}
	return engine.Member{Service: name, User: s.spec.User}
}

// Authenticate tells whether token is that of the service, and which rights the service has.
func (m *Manager) Authenticate(service, token string) (rights []app.Right, ok bool) {
	s, err := m.service(service)
	if err != nil || subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) != 1 {
		return nil, false
	}
	return s.spec.Rights(), true
}
