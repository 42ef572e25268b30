// Package service keeps the services of an application running: it starts their instances, starts again what ends as
// the restart policy says, and stops them.
//
//	Manager ─► service (one per name) ─► slot (one per instance name) ─► instance: the supervisor's loop ─► engine
//	             token, sandbox              one start or stop at a time       state for inspect            └► Records
//
// It promises that an instance name has one instance at most, that nothing is started after its service was stopped,
// that Stop returns when nothing of the service is left, and that a service which cannot start does not affect
// the others. It knows nothing of application files, updates or HTTP.
package service

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sort"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
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
)

// Options are what a Manager works with.
type Options struct {
	Engine  engine.Engine
	Records *Records
	Env     map[string]string // system variables that are the same for every instance
	Grace   time.Duration     // between asking an instance to end and killing it
	Log     log.Logger
}

// Manager holds the running services. Its methods may be called from any goroutine.
type Manager struct {
	opts  Options
	usage *sample.Cache[map[*instance]usage]

	reporting sync.Mutex // serializes Report; taken before mu

	mu       sync.Mutex // guards services
	services map[string]*service
}

type usage struct {
	cpu *host.CPU
	mem *host.Mem
}

// New returns a Manager without services.
func New(opts Options) *Manager {
	m := &Manager{opts: opts, services: map[string]*service{}}
	m.usage = sample.New(time.Second, 80*time.Millisecond, m.measure) // in all, inspect stays below 100 ms
	return m
}

// Run measures the instances when Inspect asks for it, until ctx ends.
func (m *Manager) Run(ctx context.Context) error { return m.usage.Run(ctx) }

// Reap ends what an earlier master left running, as far as this engine can. What was left by another engine stays in
// the records, and is logged.
func (m *Manager) Reap(ctx context.Context) error {
	left, err := m.opts.Records.Left()
	if err != nil {
		m.opts.Log.WithError(err).Warnf("cannot read which instances an earlier master left; some may still run")
	}
	var own, foreign []engine.Record
	for _, r := range left {
		if r.Engine == m.opts.Engine.Name() {
			own = append(own, r)
		} else {
			foreign = append(foreign, r)
		}
	}
	if len(foreign) > 0 {
		const text = "%d instances were left in mode %s and may still run; start the master once in that mode to end them"
		m.opts.Log.Warnf(text, len(foreign), foreign[0].Engine)
	}
	err = m.opts.Engine.Reap(ctx, own)
	return errors.Join(err, m.opts.Records.Reset(foreign))
}

// Start starts the replicas of a service, waits for the first start of each, and returns their errors. The service
// exists in any case, and its restart policy decides whether a failed replica is tried again. Only ErrExists means that
// nothing was done.
func (m *Manager) Start(ctx context.Context, spec engine.Service) error {
	s := newService(m, spec)
	m.mu.Lock()
	if _, ok := m.services[spec.Name]; ok {
		m.mu.Unlock()
		return fmt.Errorf("service (%s) %w", spec.Name, ErrExists)
	}
	m.services[spec.Name] = s
	m.mu.Unlock()
	errs := make([]error, spec.Replica)
	var wg sync.WaitGroup
	for n := range spec.Replica {
		wg.Go(func() { errs[n] = s.start(ctx, replicaName(spec.Name, n), false, nil) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// replicaName is the service's name for the first replica, then <service>.i1 and so on.
func replicaName(service string, n int) string {
	if n == 0 {
		return service
	}
	return fmt.Sprintf("%s.i%d", service, n)
}

// Stop stops services: together, but each after those that depend on it. What has not ended when until ends is
// killed. It returns when nothing is left. Unknown names are ignored.
func (m *Manager) Stop(until context.Context, names ...string) error {
	stopping := map[string]*service{}
	gone := map[string]chan struct{}{}
	m.mu.Lock()
	for _, n := range names {
		if s := m.services[n]; s != nil {
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
				for _, d := range o.spec.DependsOn {
					if d == name {
						<-gone[other] // no cycle: the application was validated
					}
				}
			}
			err := s.stopAll(until)
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

func (m *Manager) service(name string) (*service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("service (%s) %w", name, ErrNotFound)
}

// StartInstance starts an instance on demand, and returns when it runs or could not be started. One with the same name
// is stopped first. vars go into its environment. It gets no token. Errors: ErrNotFound, ErrInvalid, ErrLimit,
// ErrStopped.
func (m *Manager) StartInstance(ctx context.Context, service, instance string, vars map[string]string) error {
	s, err := m.service(service)
	if err != nil {
		return err
	}
	if len(instance) > 128 || !instanceRule.MatchString(instance) {
		const rule = "use up to 128 letters, digits, '_', '-' and '.', and start with a letter or digit"
		return fmt.Errorf("%w: name of instance %q: %s", ErrInvalid, instance, rule)
	}
	if err := checkDynamic(vars); err != nil {
		return err
	}
	return s.start(ctx, instance, true, maps.Clone(vars))
}

// StopInstance stops an instance. It succeeds when there is none. A replica that is stopped is not started again.
func (m *Manager) StopInstance(ctx context.Context, service, instance string) error {
	s, err := m.service(service)
	if err != nil {
		return err
	}
	return s.stop(ctx, instance)
}

// Report keeps what an instance reports for inspect; each key replaces that of earlier reports. The values are JSON
// that has been checked (master/api), since inspect shows them as they are. ErrInvalid: a key that belongs to the
// master; ErrLimit: too many keys or bytes.
func (m *Manager) Report(service, instance string, report map[string]json.RawMessage) error {
	s, err := m.service(service)
	if err != nil {
		return err
	}
	i, err := s.find(instance)
	if err != nil {
		return err
	}
	m.reporting.Lock() // one report at a time, so that the limit holds for all together
	defer m.reporting.Unlock()
	others := 0
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		for _, o := range s.list() {
			if o != i {
				others += o.reportedBytes()
			}
		}
	}
	return i.report(report, others)
}

// Authenticate tells whether token is that of the service, and which rights the service has.
func (m *Manager) Authenticate(service, token string) (rights []string, ok bool) {
	s, err := m.service(service)
	if err != nil || subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) != 1 {
		return nil, false
	}
	return s.spec.Rights(), true
}

// Inspect returns the services by name, also those without an instance.
func (m *Manager) Inspect() []masterapi.Service {
	used := m.usage.Get()
	now := time.Now()
	var out []masterapi.Service
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		v := s.view(now)
		for _, i := range s.list() {
			for n := range v.Instances {
				if u, ok := used[i]; ok && v.Instances[n].Name == i.name && v.Instances[n].Status == masterapi.StatusRunning {
					v.Instances[n].CPU, v.Instances[n].Mem = u.cpu, u.mem
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// measure asks the engine for the processor time and memory of each running instance.
func (m *Manager) measure(ctx context.Context) map[*instance]usage {
	out := map[*instance]usage{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue
		}
		for _, i := range s.list() {
			i.mu.Lock()
			running := i.running
			i.mu.Unlock()
			if running == nil {
				continue
			}
			wg.Go(func() {
				cpu, mem := running.Stats(ctx)
				mu.Lock()
				defer mu.Unlock()
				out[i] = usage{cpu, mem}
			})
		}
	}
	wg.Wait()
	return out
}
