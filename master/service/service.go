package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// recovered is how long an instance has been up when inspect shows no failure of its service any more.
const recovered = 10 * time.Second

// service is one service with its instances.
//
// Locks: free of a slot first, then boxMu or mu. mu is held for moments only, never while something starts or stops.
type service struct {
	m       *Manager
	spec    engine.Service
	digest  string // of spec
	token   string
	stopped *Stop           // by hand, which holds for the life of this value; nil: it is not
	reaped  <-chan struct{} // of a service that was taken over: closed when starts and stops may begin; nil: they may

	uptime uptime

	ctx    context.Context // ends when the service is to stop: no start begins or goes on
	cancel context.CancelFunc

	boxMu sync.Mutex // guards box, and serializes its opening
	box   engine.Sandbox

	mu       sync.Mutex // guards what follows
	slots    map[string]*slot
	waiting  bool // taken over from an earlier master, and waits for Start; guarded by m.mu
	failure  string
	failedAt time.Time
}

func newService(m *Manager, spec engine.Service) *service {
	s := &service{m: m, spec: spec, digest: spec.Digest(), token: newToken(), slots: map[string]*slot{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// sandbox opens the surroundings of the service at the first start, and again at each until it succeeds.
func (s *service) sandbox(ctx context.Context) (engine.Sandbox, error) {
	s.boxMu.Lock()
	defer s.boxMu.Unlock()
	if s.box == nil {
		box, err := s.m.opts.Engine.Open(ctx, s.spec)
		if err != nil {
			return nil, err
		}
		s.box = box
	}
	return s.box, nil
}

// start puts a new instance in the place of the one with that name, and returns how its first start went. A dynamic
// instance that cannot start is removed, since its caller decides what to do; a replica stays and is tried again. Of
// asked, what was asked for counts: Dynamic, Vars, Caller.
func (s *service) start(ctx context.Context, name string, asked Record) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	sl, release, err := s.acquire(ctx, name, true)
	if err != nil {
		return err
	}
	defer release()
	s.clear(ctx, sl, false)

	i := newInstance(s.parts(), Record{
		Record:  engine.Record{Engine: s.m.opts.Engine.Name(), Service: s.spec.Name, Instance: name},
		Digest:  s.digest,
		Token:   s.token,
		Dynamic: asked.Dynamic,
		Vars:    asked.Vars,
		Caller:  asked.Caller,
		Status:  masterapi.StatusStarting,
	}, s.environ(name, asked.Dynamic, asked.Vars))
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return fmt.Errorf("service (%s) %w", s.spec.Name, ErrStopped)
	}
	sl.instance = i
	go i.supervise() // waited for by clear
	s.mu.Unlock()
	s.settle()

	err = s.begun(ctx, i)
	if errors.Is(err, ErrStopped) {
		return err // stopAll clears the slot after this
	}
	if err == nil {
		return nil
	}
	if asked.Dynamic {
		s.clear(ctx, sl, false)
	}
	return fmt.Errorf("start instance %s of service %s: %w", name, s.spec.Name, err)
}

// begun waits for the first start, or the adoption, of an instance. ErrStopped: the service is being stopped.
func (s *service) begun(ctx context.Context, i *instance) error {
	select {
	case <-i.first:
		return i.firstErr
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return fmt.Errorf("service (%s) %w", s.spec.Name, ErrStopped)
	}
}

// environ is the environment of an instance.
func (s *service) environ(name string, dynamic bool, vars map[string]string) map[string]string {
	system := map[string]string{masterapi.EnvServiceName: s.spec.Name, masterapi.EnvInstanceName: name}
	for k, v := range s.m.opts.Env {
		system[k] = v
	}
	if !dynamic {
		system[masterapi.EnvServiceToken] = s.token
	}
	return environ(s.spec.Env, vars, system)
}

// parts are what the instances of s need of it.
func (s *service) parts() parts {
	return parts{
		probes: s.spec.Healthcheck.Probes(s.m.opts.Engine.Name() == masterapi.ModeNative), grace: s.grace,
		waitsFor: func() string { return s.m.waitsFor(s.spec.DependsOn) }, freezes: &s.m.freezes,
		changes: &s.m.changes, settle: s.settle,
		restart: s.spec.Restart, sandbox: s.sandbox, member: s.m.member, discard: s.m.opts.Engine.Discard, failed: s.failed,
		records: s.m.opts.Records, boot: s.m.opts.Boot, events: s.m.opts.Events,
		service: s.spec.Name, log: s.m.opts.Log.WithField(log.KeyService, s.spec.Name),
	}
}

// grace is the time between asking an instance to end and killing it.
func (s *service) grace() time.Duration {
	return cmp.Or(s.spec.Stop.Grace, time.Duration(s.m.grace.Load()))
}

// leave ends the supervision of all instances, and waits for that until ctx ends. Nothing is stopped.
func (s *service) leave(ctx context.Context) {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	all := s.list()
	for _, i := range all {
		i.leave()
	}
	for _, i := range all {
		select {
		case <-i.done:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the instance with that name. kill is for one that hangs.
func (s *service) stop(ctx context.Context, name string, kill bool) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	sl, release, err := s.acquire(ctx, name, false)
	if errors.Is(err, ErrNotFound) {
		return nil // what is wanted
	}
	if err != nil {
		return err
	}
	defer release()
	s.clear(ctx, sl, kill)
	s.m.dropOne(s.spec.Name, name)
	return nil
}

// clear ends the instance in the slot, and kills it at once if kill is set. The grace time is the same when ctx ends: a
// client that disconnects does not turn a stop into a kill.
func (s *service) clear(ctx context.Context, sl *slot, kill bool) {
	if sl.instance == nil {
		return
	}
	grace, why := s.grace(), error(nil)
	if kill {
		grace, why = 0, engine.ErrKill
	}
	until, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, why)
	defer cancel()
	s.end(until, sl)
}

func (s *service) end(until context.Context, sl *slot) {
	sl.instance.stop(until)
	if s.m.opts.Records.isFrozen() {
		return
	}
	sl.instance.log.Infof("instance stopped")
	sl.instance.tells(masterapi.EventInstanceStopped, "instance stopped", nil)
	s.mu.Lock()
	sl.instance = nil
	s.mu.Unlock()
	s.settle()
}

// stopAll ends the service: no instance is started any more, all are stopped, and killed when until ends.
func (s *service) stopAll(until context.Context) error {
	s.mu.Lock()
	s.cancel()
	names := make([]string, 0, len(s.slots))
	for name := range s.slots {
		names = append(names, name)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			sl, release, err := s.acquire(context.Background(), name, false)
			if err != nil {
				return // gone meanwhile
			}
			defer release()
			if sl.instance != nil {
				s.end(until, sl)
			}
		})
	}
	wg.Wait()
	s.boxMu.Lock()
	defer s.boxMu.Unlock()
	if s.box == nil {
		return nil
	}
	box := s.box
	s.box = nil
	return box.Close()
}

// failed keeps the last failure for inspect, also that of a dynamic instance, which is removed with its own state.
func (s *service) failed(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.failedAt = reason, time.Now()
}

// view returns what inspect shows. The failure is left out when an instance that was started after it has stayed up.
func (s *service) view(now time.Time) masterapi.Service {
	out := masterapi.Service{Name: s.spec.Name}
	if s.stopped != nil {
		out.Stopped = &masterapi.Stopped{Since: s.stopped.Since, By: s.stopped.By}
	}
	s.mu.Lock()
	failure, failedAt := s.failure, s.failedAt
	s.mu.Unlock()
	for _, i := range s.list() {
		v := i.view()
		out.Instances = append(out.Instances, v)
		if v.StartTime != nil && v.StartTime.After(failedAt) && i.up(v, now) >= recovered {
			failure = ""
		}
	}
	out.Error = failure
	return out
}
