package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// ErrByHand says that a service has been stopped by hand, and starts no instance until it is started.
var ErrByHand = errors.New("is stopped by hand")

// Stop is a service that somebody has stopped by hand. It holds for that definition of the service alone: an update
// that changes it starts the service, and one that is rolled back leaves it stopped.
type Stop struct {
	Service string       `json:"service"`
	Digest  string       `json:"digest"` // engine.Service.Digest
	Since   time.Time    `json:"since"`
	By      masterapi.By `json:"by"`
}

// Stops are the services that are stopped by hand, and the file that says so to later masters, also after a power cut.
// There are at most as many as services in the application.
type Stops struct {
	file state.File[stopsFile]

	mu  sync.Mutex // guards the file and what follows
	all map[string]Stop
}

type stopsFile struct {
	Stopped []Stop `json:"stopped"`
}

// NewStops returns the record at path of disk. It opens nothing: TakeOver reads it.
func NewStops(path string, disk file.Disk, l log.Logger) *Stops {
	return &Stops{file: state.File[stopsFile]{
		Path: path, What: "record of services that are stopped by hand", Version: 1, Disk: disk, Log: l,
		Then: "all services start",
	}, all: map[string]Stop{}}
}

// read takes what an earlier master has recorded.
func (s *Stops) read() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file.Path == "" {
		return
	}
	err := s.file.Tidy()
	left, failed := s.file.Load()
	if err = errors.Join(err, failed); err != nil && !errors.Is(err, state.ErrDamaged) { // which is logged
		s.file.Log.WithError(err).Errorf("cannot read which services are stopped by hand; %s", s.file.Then)
	}
	for _, stop := range left.Stopped {
		s.all[stop.Service] = stop
	}
}

// of returns the record of a service with that definition, nil when it is not stopped.
func (s *Stops) of(name, digest string) *Stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop, ok := s.all[name]; ok && stop.Digest == digest {
		return &stop
	}
	return nil
}

// change writes what do makes of the record before it holds. Without an effect nothing is written.
func (s *Stops) change(do func(all map[string]Stop)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.all)
	do(all)
	if maps.Equal(all, s.all) {
		return nil
	}
	var out stopsFile
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out.Stopped = append(out.Stopped, all[name])
	}
	write := s.file.Remove
	if len(all) > 0 {
		write = func() error { return s.file.Save(out) }
	}
	if s.file.Path != "" {
		if err := write(); err != nil {
			return err
		}
	}
	s.all = all
	return nil
}

// settle forgets services that are not there any more, and definitions that are others by now. An application without
// services forgets none: its file may be missing by mistake.
func (s *Stops) settle(digests map[string]string) {
	if len(digests) == 0 {
		return
	}
	err := s.change(func(all map[string]Stop) {
		maps.DeleteFunc(all, func(name string, stop Stop) bool { return digests[name] != stop.Digest })
	})
	if err != nil {
		s.file.Log.WithError(err).Warnf("cannot forget services that were stopped by hand; the next update tries again")
	}
}

// StopService stops a service by hand: it has no instances, and starts none, also in later masters, until StartService
// or an update that changes its definition. It returns when nothing of it runs. Nobody may start or stop services
// meanwhile, but for their dynamic instances. A service that is stopped already stays so. Errors: ErrNotFound,
// ErrStopped, or that of the disk, and then nothing was stopped.
func (m *Manager) StopService(name string, by masterapi.By) error {
	s, err := m.service(name)
	if err != nil || s.stopped != nil {
		return err
	}
	stop := Stop{Service: name, Digest: s.digest, Since: time.Now().UTC(), By: by}
	if err := m.opts.Stops.change(func(all map[string]Stop) { all[name] = stop }); err != nil {
		return fmt.Errorf("service (%s) goes on: %w", name, err)
	}
	m.opts.Log.WithField(log.KeyService, name).WithField("by", by.String()).
		Infof("service is stopped by hand, and stays so until somebody starts it or an update changes it")
	_, err = m.renew(s, &stop)
	m.opts.Events.Add(masterapi.EventServiceStopped, name, "", "service stopped by hand, by "+by.String(), nil)
	m.drop(nil)
	return err
}

// StartService starts a service that is stopped by hand. Of another one it starts the replicas anew that do not run, as
// those that were given up or wait for their next start. It waits for the first start of each until ctx ends; a replica
// that cannot start is tried again as the restart policy says. Errors: ErrNotFound, ErrStopped, or how the start went.
func (m *Manager) StartService(ctx context.Context, name string) error {
	s, err := m.service(name)
	if err != nil {
		return err
	}
	if s.stopped != nil {
		return m.RestartService(ctx, name)
	}
	return s.startAll(ctx, func(i *instance) bool { return i.isUp() })
}

// RestartService ends all instances of a service, and starts its replicas with nothing known of earlier failures. It
// waits as StartService does.
func (m *Manager) RestartService(ctx context.Context, name string) error {
	s, err := m.service(name)
	if err != nil {
		return err
	}
	if err := m.opts.Stops.change(func(all map[string]Stop) { delete(all, name) }); err != nil {
		return fmt.Errorf("service (%s) stays as it is: %w", name, err)
	}
	s, err = m.renew(s, nil)
	if err != nil {
		return err
	}
	m.opts.Log.WithField(log.KeyService, name).Infof("service is started by hand")
	m.opts.Events.Add(masterapi.EventServiceStarted, name, "", "service started by hand", nil)
	return s.startAll(ctx, func(*instance) bool { return false })
}

// renew ends a service, and puts the same one without instances in its place.
func (m *Manager) renew(s *service, stop *Stop) (*service, error) {
	until, cancel := context.WithTimeout(context.Background(), s.grace())
	defer cancel()
	err := s.stopAll(until)
	next := newService(m, s.spec)
	next.stopped = stop
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || m.services[s.spec.Name] != s {
		return nil, fmt.Errorf("service (%s) %w", s.spec.Name, ErrStopped)
	}
	m.services[s.spec.Name] = next
	m.changes.tell()
	if err != nil {
		err = fmt.Errorf("stop service %s: %w", s.spec.Name, err)
	}
	return next, err
}

// Stopped are the services that are stopped by hand.
func (m *Manager) Stopped() map[string]*masterapi.Stopped {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*masterapi.Stopped{}
	for name, s := range m.services {
		if s.stopped != nil {
			out[name] = &masterapi.Stopped{Since: s.stopped.Since, By: s.stopped.By}
		}
	}
	return out
}

// startAll starts the replicas of s but for those that keep wants as they are, and waits for each.
func (s *service) startAll(ctx context.Context, keep func(*instance) bool) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for n := range s.spec.Replica {
		name := replicaName(s.spec.Name, n)
		if i, err := s.find(name); err == nil && keep(i) {
			continue
		}
		wg.Go(func() {
			err := s.start(ctx, name, Record{})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// isUp tells whether the instance runs, or is starting.
func (i *instance) isUp() bool {
	status := i.record().Status
	return status == masterapi.StatusRunning || status == masterapi.StatusStarting
}

// refuse is the error of a start of an instance while the service is stopped by hand, nil when it is not.
func (s *service) refuse() error {
	if s.stopped == nil {
		return nil
	}
	return fmt.Errorf("service (%s) %w, by %s since %s: baetyl service start %s", s.spec.Name, ErrByHand,
		s.stopped.By, s.stopped.Since.Format(time.RFC3339), s.spec.Name)
}

// digestsOf are the definitions of services, by name.
func digestsOf(specs []engine.Service) map[string]string {
	out := map[string]string{}
	for _, s := range specs {
		out[s.Name] = s.Digest()
	}
	return out
}
