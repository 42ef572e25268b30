package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// sortOut decides what becomes of the instances in the records of an earlier master. Adopted is what this engine runs
// and the application still wants as it was. A dynamic instance is ended when it was starting for the first time, since
// whoever asked for it has got no answer and asks again, when it was being stopped, and when its name or variables are
// none that a request may give; so is one whose service is stopped by hand. digests are those of specs. foreign are
// those of another engine.
func sortOut(
	left []Record, mode string, specs []engine.Service, digests map[string]string, stopped func(service string) bool,
) (adopt, end, foreign []Record) {
	wanted := map[string]engine.Service{}
	for _, s := range specs {
		wanted[s.Name] = s
	}
	tokens := map[string]string{} // one for each service
	for _, r := range left {
		s, ok := wanted[r.Service]
		switch {
		case r.Engine != mode:
			foreign = append(foreign, r)
			continue
		case !ok || r.Digest != digests[r.Service] || r.Token == "" || stopped(r.Service):
			ok = false
		case r.Dynamic:
			ok = !r.Stopping && (r.Status != masterapi.StatusStarting || r.Began != nil)
			other, taken := wanted[ownerOf(r.Instance)]
			ok = ok && !isReplica(s, r.Instance) && (!taken || other.Name == s.Name) && checkDynamic(s.Service, r.Vars) == nil
		default:
			ok = isReplica(s, r.Instance)
		}
		if ok && tokens[r.Service] == "" {
			tokens[r.Service] = r.Token
		}
		if ok && tokens[r.Service] == r.Token {
			adopt = append(adopt, r)
		} else {
			end = append(end, r)
		}
	}
	return adopt, end, foreign
}

func isReplica(s engine.Service, instance string) bool {
	for n := range s.Replica {
		if instance == replicaName(s.Name, n) {
			return true
		}
	}
	return false
}

// TakeOver goes on with what an earlier master left: instances that specs, the services of the application, want as
// they were are adopted, all others are ended. It returns when the others have ended. The adopted services are there
// before that, with their tokens: Authenticate and Inspect answer, while StartInstance and StopInstance wait. Start of
// each starts what is missing. It is called once, before Start. What another engine left stays in the records, and is
// logged. When ctx ends before the records can be read, nothing has been touched.
func (m *Manager) TakeOver(ctx context.Context, specs []engine.Service) error {
	left, err := m.readRecords(ctx)
	if err != nil {
		return err
	}
	m.opts.Stops.read()
	digests := digestsOf(specs)
	m.opts.Stops.settle(digests)
	stopped := func(service string) bool { return m.opts.Stops.of(service, digests[service]) != nil }
	adopt, end, foreign := sortOut(left, m.opts.Engine.Name(), specs, digests, stopped)
	if len(foreign) > 0 {
		const text = "%d instances were left in mode %s and may still run; start the master once in that mode to end them"
		m.opts.Log.Warnf(text, len(foreign), foreign[0].Engine)
	}
	reaped := make(chan struct{})
	defer close(reaped)
	m.mu.Lock()
	for _, spec := range specs {
		var own []Record
		for _, r := range adopt {
			if r.Service == spec.Name {
				own = append(own, r)
			}
		}
		if len(own) > 0 {
			m.services[spec.Name] = newTakenOver(m, spec, own, reaped)
		}
	}
	if !isClosed(m.known) {
		close(m.known)
	}
	m.mu.Unlock()
	m.drop(specs)
	keep := enginesOf(adopt)
	err = m.opts.Engine.Reap(ctx, append(enginesOf(end), keep...), keep)
	return errors.Join(err, m.opts.Records.Reset(append(adopt, foreign...)))
}

func enginesOf(records []Record) []engine.Record {
	out := make([]engine.Record, 0, len(records))
	for _, r := range records {
		out = append(out, r.Record)
	}
	return out
}

// newTakenOver returns a service whose instances are those of the records, as soon as reaped is closed.
func newTakenOver(m *Manager, spec engine.Service, own []Record, reaped <-chan struct{}) *service {
	s := newService(m, spec)
	s.token, s.waiting, s.reaped = own[0].Token, true, reaped
	for _, r := range own {
		i := newInstance(s.parts(), r, s.environ(r.Instance, r.Dynamic, r.Vars))
		i.reaped = reaped
		sl := newSlot()
		sl.instance = i
		s.slots[r.Instance] = sl
		go i.supervise() // waited for by clear
	}
	return s
}

// settled waits until the engine has ended what nobody wants any more. Until then nothing of a service that was taken
// over is started or stopped: what begins meanwhile would look to the engine as if an earlier master had left it.
func (s *service) settled(ctx context.Context) error {
	if s.reaped == nil {
		return nil
	}
	select {
	case <-s.reaped:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("service (%s) %w", s.spec.Name, ErrStopped)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resume waits until an instance that was taken over is adopted, or known to be gone. A dynamic one that is gone is
// removed.
func (s *service) resume(ctx context.Context, i *instance) error {
	err := s.begun(ctx, i)
	if errors.Is(err, engine.ErrGone) {
		return s.stop(ctx, i.name, false)
	}
	if err != nil {
		return fmt.Errorf("adopt instance %s of service %s: %w", i.name, s.spec.Name, err)
	}
	return nil
}

// takeOver adopts the instance and supervises it until it ends. It returns what becomes of it then.
func (i *instance) takeOver() decision {
	select {
	case <-i.reaped:
	case <-i.ctx.Done():
		return decision{}
	}
	left := i.record()
	running, err := i.adopt(left)
	gone := errors.Is(err, engine.ErrGone)
	switch {
	case err != nil && !gone: // asked to stop
		i.tell(err)
		return decision{}
	case hasEnded(left) && (gone && i.knows(left) || !gone && isClosed(running.Done())):
		return i.goOn(left)
	case left.Doomed != "" && (!gone || i.knows(left)):
		i.tell(nil)
		return i.condemn(running, left.Doomed, 0)
	case !gone:
		i.runs(running, left.Began)
		i.log.Infof("instance adopted")
		return i.await(running)
	case i.dynamic:
		i.change(func(r *Record) { r.Status, r.Error = masterapi.StatusFailed, err.Error() })
		i.log.Infof("dynamic instance of an earlier master is gone")
		i.tell(err)
		return decision{}
	default:
		return i.anew(left)
	}
}

// hasEnded tells whether the earlier master has decided what becomes of an instance that ended, or could not start.
func hasEnded(left Record) bool {
	settled := []string{masterapi.StatusRestarting, masterapi.StatusFailed, masterapi.StatusExited}
	return slices.Contains(settled, left.Status) || left.Next != nil
}

// knows tells whether what the record says of an instance that is gone holds: since the machine was started anew, it
// does not. Nobody has been told of a dynamic instance whose first start failed.
func (i *instance) knows(left Record) bool {
	return i.ofThisBoot(left) && (!i.dynamic || left.Began != nil)
}

func (i *instance) ofThisBoot(left Record) bool { return left.Boot != "" && left.Boot == i.parts.boot }

// goOn goes on with an instance that had ended before this master took over.
func (i *instance) goOn(left Record) decision {
	if left.Status != masterapi.StatusExited && left.Error != "" {
		i.parts.failed(fmt.Sprintf("instance %s: %s", i.name, left.Error))
	}
	i.tell(nil)
	i.log.Infof("instance of an earlier master had ended already")
	return decision{restart: left.Next != nil, after: i.remaining(left)}
}

// adopt tries until the engine knows what became of the instance, or the instance is to stop.
func (i *instance) adopt(left Record) (engine.Instance, error) {
	for n := 0; ; n++ {
		box, err := i.parts.sandbox(i.ctx)
		var running engine.Instance
		if err == nil {
			running, err = box.Adopt(i.ctx, i.spec(left.Handle), left.Record)
		}
		if err == nil || errors.Is(err, engine.ErrGone) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.current, i.reaped, i.rec.Error = running, nil, left.Error
			return running, err
		}
		if i.ctx.Err() != nil {
			return nil, i.ctx.Err()
		}
		if n == 0 {
			i.log.WithError(err).Warnf("cannot adopt the instance of an earlier master yet; it is tried again")
		}
		i.mu.Lock()
		i.rec.Error = fmt.Sprintf("adopt: %s", err)
		i.mu.Unlock()
		if !i.pause(engine.Again.Delay(n, 0)) {
			return nil, i.ctx.Err()
		}
	}
}

// anew begins again with an instance of which nothing is there. Its history goes on if the earlier master ended while
// it was starting. Otherwise everything begins anew, as after a start of the machine.
func (i *instance) anew(left Record) decision {
	starting := left.Status == masterapi.StatusStarting && i.ofThisBoot(left)
	i.change(func(r *Record) {
		if !starting {
			r.Restarts, r.Failures = 0, 0
		}
		r.Status, r.Error, r.Next = masterapi.StatusStarting, "", nil
	})
	i.log.Infof("instance of an earlier master is gone and is started")
	return decision{restart: true, anew: true}
}

// remaining is how long to wait for the start that the earlier master waited for. A clock that was set back must not
// make it longer than the policy does.
func (i *instance) remaining(left Record) time.Duration {
	if left.Next == nil {
		return 0
	}
	return min(time.Until(*left.Next), i.parts.restart.Backoff.Max)
}

// abandon ends an instance that could not be adopted, when it is to stop.
func (i *instance) abandon(until context.Context) {
	if err := i.parts.discard(until, i.record().Record); err != nil {
		i.log.WithError(err).Warnf("cannot end the instance of an earlier master; it may still run")
	}
}
