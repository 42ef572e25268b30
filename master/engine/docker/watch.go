//go:build unix

package docker

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
)

const (
	compareInterval = 30 * time.Second // between comparisons of all containers
	eventInterval   = time.Second      // between an event and the comparison: several come at a time
	compareTimeout  = 10 * time.Second // for what one comparison asks the daemon
	repairTimeout   = 30 * time.Second // for putting one difference right
	pauseLimit      = 10 * time.Second // `docker commit` pauses a container too
)

// Run compares the containers of this master with what they were started with, at intervals and when the daemon tells
// that something happens to one. What no instance has is removed.
//
//	interval, event ─► inspect ─► drift ─► repair ─► new? a line in the log, Warnings
func (e *Engine) Run(ctx context.Context) {
	var hearing sync.WaitGroup
	hearing.Go(func() { e.hear(ctx) })
	hearing.Go(func() { e.endUnknownAlways(ctx) })
	defer hearing.Wait()
	for {
		timer := time.NewTimer(e.watcher.next(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.watcher.changed: // something is due earlier
			timer.Stop()
		case <-timer.C:
			e.compare(ctx, e.watcher.takeDue(time.Now()))
		}
	}
}

// hear follows the events of the daemon until ctx ends; after an outage it goes on, and everything is compared.
func (e *Engine) hear(ctx context.Context) {
	of := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.NetworkEventType)))
	for n := 0; ctx.Err() == nil; n++ {
		opened := time.Now()
		following, cancel := context.WithCancel(ctx)
		messages, failed := e.api.Events(following, events.ListOptions{Filters: of})
		e.watcher.allDue()
		for open := true; open; {
			select {
			case m := <-messages:
				if i, f := e.watcher.heard(m, time.Now()); i != nil {
					i.log.Warnf("%s", f)
				}
			case <-failed:
				open = false
			}
		}
		cancel()
		if time.Since(opened) > engine.Again.Max {
			n = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(engine.Again.Delay(n, 0)):
		}
	}
}

// compare compares some containers, one after the other. When the daemon does not answer, the rest is left for the next
// time; another error is one container's own.
func (e *Engine) compare(ctx context.Context, due []*subject) {
	networks := map[string]*network.Inspect{} // asked for once
	for _, s := range due {
		err := e.compareOne(ctx, s, networks)
		if err == nil {
			continue
		}
		if e.ping(ctx) != nil {
			return
		}
		s.instance.log.WithError(err).Debugf("cannot compare the container with what it was started with")
	}
}

func (e *Engine) compareOne(ctx context.Context, s *subject, networks map[string]*network.Inspect) error {
	asked, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	c, err := e.api.ContainerInspect(asked, s.instance.id)
	if errdefs.IsNotFound(err) {
		return nil // its instance hears it by itself
	}
	for _, to := range connections(s.plan) {
		if _, known := networks[to.Network]; !known && err == nil {
			networks[to.Network], err = e.networkNamed(asked, to.Network)
		}
	}
	if err != nil {
		return err
	}
	now := state{
		container: c, networks: networks, name: s.instance.record.Instance, started: s.started, limits: s.limits,
		ended: isClosed(s.instance.done),
	}
	s.instance.checked.note(c.State)
	found := drift(s.box.service, s.plan, now)
	s.started = c.State.StartedAt
	at := time.Now()
	var open []finding
	for _, f := range e.watcher.settlePause(s, found, at) {
		if !e.watcher.has(s) { // it is being stopped
			return nil
		}
		f, settled := e.settle(ctx, s, now, f)
		if ctx.Err() != nil || !e.watcher.has(s) {
			return nil
		}
		if f.kind == isCutOff { // the network may be a new one
			delete(networks, f.network)
		}
		if e.watcher.tells(s, f, settled, at) {
			s.instance.log.Warnf("%s", f)
		}
		if !settled {
			open = append(open, f)
		}
	}
	e.watcher.found(s, open)
	return nil
}

// settle puts a difference right, and tells whether it is none any more.
func (e *Engine) settle(ctx context.Context, s *subject, now state, f finding) (finding, bool) {
	bounded, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	done, err := e.repair(bounded, s, now, f)
	if err != nil {
		f.outcome = "cannot be put right: " + err.Error()
		return f, false
	}
	f.outcome = done
	return f, done != "" || f.kind == isRestarted
}
