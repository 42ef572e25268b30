package service

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/master/probe"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// checkup is what the probes of one run have come to.
type checkup struct {
	doom    string        // why it is to be ended; empty: it is not
	healthy time.Duration // it has been healthy, when that ended
	checked bool          // somebody has reports
}

// await waits for the end of what runs, and returns what becomes of the instance. Its probes run meanwhile: one at a
// time, none after its return.
//
//	running ─► probe ─► health.State ─┬► view, record, event
//	                                  └► doomed ─► condemn: ended ─► the restart policy decides
func (i *instance) await(running engine.Instance) decision {
	i.tell(nil)
	ctx, cancel := context.WithCancel(i.ctx)
	defer cancel()
	reports := make(chan checkup, 1)
	go func() { reports <- i.check(ctx, running) }()
	var c checkup
	for over := false; ; {
		select {
		case <-running.Done():
			if cancel(); !over {
				c = <-reports
			}
			exit := running.Exit()
			if c.checked {
				exit.Ran = c.healthy
			}
			return i.settle(exit, true)
		case <-i.ctx.Done():
			if !over {
				<-reports
			}
			return decision{} // stop ends it
		case c = <-reports:
			over = true
			if c.doom != "" {
				return i.condemn(running, c.doom, c.healthy)
			}
		}
	}
}

// check probes what runs until it is doomed, or ctx ends, or there is nothing more to ask.
func (i *instance) check(ctx context.Context, running engine.Instance) checkup {
	rec := i.record()
	began := time.Now()
	if rec.Began != nil {
		began = *rec.Began
	}
	s := health.Resume(i.parts.probes, rec.Health, began, time.Now(), rand.Float64())
	result := func() checkup { return checkup{s.Doom(), s.Healthy(time.Now()), true} }
	if len(i.parts.probes) == 0 {
		if daemon, ok := running.(engine.Checked); !ok || !i.hear(ctx, daemon, s) {
			return checkup{}
		}
		return result()
	}
	i.shows(s)
	ended := closed
	for s.Doom() == "" {
		kind, due, ok := s.Due()
		if !ok { // that of startup was the only one; the rest of the run is healthy
			<-ctx.Done()
			break
		}
		if !sleep(ctx, time.Until(due)) {
			break
		}
		frozen := i.parts.freezes.Load()
		r := health.Result{Output: "the probe before has not ended"}
		if isClosed(ended) {
			r, ended = probe.Run(ctx, s.Probe(kind), running)
		}
		if ctx.Err() != nil {
			break
		}
		if frozen%2 == 1 || frozen != i.parts.freezes.Load() { // nobody can answer then
			r = health.Result{Unknown: true}
		}
		s.Note(kind, r, time.Now())
		i.shows(s)
	}
	return result()
}

// closed is that of a probe which has ended.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// hear follows what the daemon says. It returns false when nobody checks the instance.
func (i *instance) hear(ctx context.Context, daemon engine.Checked, s *health.State) bool {
	checked := false
	for n := 0; s.Doom() == ""; {
		status, output, changed, err := daemon.Checked(ctx)
		switch {
		case ctx.Err() != nil:
			return checked
		case err != nil:
			if !sleep(ctx, engine.Again.Delay(n, rand.Float64())) {
				return checked
			}
			n++
			continue
		case status == "":
			return false
		}
		n, checked = 0, true
		s.Told(status, output, time.Now())
		i.shows(s)
		if s.Doom() != "" {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return checked
		}
	}
	return checked
}

// shows makes the state visible. Where its status is another one, it is recorded, an event, and a line in the log.
func (i *instance) shows(s *health.State) {
	h := s.Health()
	i.mu.Lock()
	before := masterapi.HealthStarting
	for _, known := range []*masterapi.Health{i.rec.Health, i.health} {
		if known != nil {
			before = known.Status
		}
	}
	i.health = h
	i.mu.Unlock()
	if before == h.Status {
		return
	}
	_ = i.change(func(r *Record) { r.Health = h })
	i.changed()
	fields := map[string]string{masterapi.FieldStatus: h.Status}
	l, text := i.log, "instance is "+h.Status
	if h.Status == masterapi.HealthUnhealthy {
		fields[masterapi.FieldReason] = masterapi.Line(h.Output)
		l = l.WithField(log.KeyReason, masterapi.Line(h.Output))
		l.Warnf("%s", text)
	} else if h.Status == masterapi.HealthHealthy {
		l.Infof("%s", text)
	}
	i.tells(masterapi.EventHealth+h.Status, text, fields)
}

// condemn ends an instance because of its probes, and returns what becomes of it. nil: it has ended already.
func (i *instance) condemn(running engine.Instance, why string, healthy time.Duration) decision {
	i.log.WithField(log.KeyReason, why).Warnf("instance is unhealthy and is ended")
	_ = i.change(func(r *Record) { r.Doomed = why })
	exit := engine.Exit{Err: errors.New(why), Ran: healthy}
	if running != nil {
		until, cancel := context.WithTimeout(context.WithoutCancel(i.ctx), i.parts.grace())
		defer cancel()
		running.Stop(until)
		i.mu.Lock()
		i.current = forgotten{running}
		i.mu.Unlock()
	}
	return i.settle(exit, true)
}

// forgotten is an instance that was stopped. What it wrote is shown until the next start.
type forgotten struct{ engine.Instance }

// Stop has been called already.
func (forgotten) Stop(context.Context) {}

// up is for how long an instance has done what it should at the time now: run, or be healthy where somebody checks.
func (i *instance) up(v masterapi.Instance, now time.Time) time.Duration {
	switch {
	case v.Status != masterapi.StatusRunning:
		return 0
	case v.Health != nil && v.Health.Status == masterapi.HealthHealthy:
		return now.Sub(*v.Health.Since)
	case v.Health != nil || len(i.parts.probes) > 0:
		return 0
	}
	return now.Sub(*v.StartTime)
}

// sleep waits; it returns false when ctx has ended. No pause needs no timer: under the race detector, two timers of one
// synctest bubble that are due when they are made crash the runtime (Go 1.26).
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
