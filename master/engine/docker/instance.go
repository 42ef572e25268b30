//go:build unix

package docker

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

const (
	outputTimeout = 10 * time.Second // for the next line of the output after the end, of which much may have piled up
	settleTimeout = 15 * time.Second // for a program to install its signal handlers, on a slow machine too
	restartLimit  = 3 * time.Second  // between a stop by another client and its start of the same container
	killTimeout   = 15 * time.Second // for the end after SIGKILL; without an answer the container stays
)

// instance implements engine.Instance and engine.Checked: one container.
//
//	running ──daemon says it has ended──► rest of the output ─► Done ──Stop──► removed
//	   │  └─ the daemon does not answer: asked again until it does
//	   └─ Stop: signal ─► SIGKILL ─► given up if there is no answer; endUnknown, or the next master, ends it
//
// A container that has ended stays until Stop, so that a later master can learn how it ended.
type instance struct {
	engine   *Engine
	id       string
	began    time.Time
	signals  string // what asks it to end: stop.signal, or STOPSIGNAL of the image
	out      *logfile.Lines
	file     *logfile.File
	place    *place
	lines    atomic.Int64 // read so far
	before   []string     // last lines of this container that an earlier master has written, the newest last
	meter    meter
	checked  checked
	log      log.Logger
	record   engine.Record
	warnings []string

	ctx    context.Context // ends when the container is given up
	giveUp context.CancelFunc
	ended  chan struct{} // closed by wait: the container runs no more
	done   chan struct{} // closed by wait
	exit   engine.Exit   // written before done is closed
	oom    int           // 1: the kernel has killed a process; written before done is closed
}

// watch starts the goroutines of a container: one waits, one follows the output from place on. Run compares it with p.
func (s *sandbox) watch(c container.InspectResponse, name string, p plan, from *place) *instance {
	began, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil || began.After(time.Now()) {
		began = time.Now()
	}
	i := &instance{
		engine: s.engine, id: c.ID, began: began, signals: cmp.Or(c.Config.StopSignal, defaultSignal),
		out: logfile.NewLines(s.output, name), file: s.output, place: from, warnings: p.Warnings,
		log:   s.log.WithField(log.KeyInstance, name).WithField("container", short(c.ID)),
		ended: make(chan struct{}), done: make(chan struct{}),
		record: engine.Record{
			Engine: masterapi.ModeDocker, Service: s.service.Name, Instance: name, Handle: c.Config.Labels[labelHandle],
			Container: &masterapi.Container{ID: c.ID, Name: name}, ImageID: c.Image, Boot: s.engine.boot(),
		},
	}
	i.meter.began = began
	i.checked.note(c.State)
	// A program may write before the daemon has noted its start, but not before there is its container.
	if created, err := time.Parse(time.RFC3339Nano, c.Created); err == nil {
		i.before = from.linesSince(created)
	}
	i.ctx, i.giveUp = context.WithCancel(context.Background())
	s.engine.watcher.add(&subject{
		instance: i, box: s, plan: p, limits: limitsOf(p, c.HostConfig.Resources), started: c.State.StartedAt,
	})
	go i.wait()
	return i
}

func (i *instance) Record() engine.Record { return i.record }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Exit() engine.Exit     { return i.exit }

// Output returns the last lines of this container, also when an earlier master has written them.
func (i *instance) Output() []string {
	if out := i.out.Tail(); len(out) > 0 {
		return out
	}
	return i.before
}

// defaultSignal is what docker sends when nobody has said anything else.
const defaultSignal = "SIGTERM"

// minGrace is the least time between the signal and SIGKILL: with less, a container would never be asked.
const minGrace = time.Second

// Stop ends the container: the signal of the service, SIGKILL when ctx ends, and then it is removed.
func (i *instance) Stop(ctx context.Context) {
	i.engine.watcher.leave(i.id)
	if errors.Is(context.Cause(ctx), engine.ErrKill) {
		if isClosed(i.done) || i.kill() {
			i.remove()
		}
		return
	}
	if until, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(until) < minGrace {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), minGrace)
		defer cancel()
	}
	if isClosed(i.done) || i.terminate(ctx) || i.kill() {
		i.remove()
	}
}

// kill sends SIGKILL; false: there was no answer, and the container was given up.
func (i *instance) kill() bool {
	if !isClosed(i.ended) {
		i.log.Warnf("instance has not ended by itself and is killed (SIGKILL)")
	}
	last, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	i.engine.wake(last, i.id) // one that is paused takes no signal
	i.signal(last, "SIGKILL")
	select {
	case <-i.ended: // the rest of the output has a time of its own
	case <-last.Done():
		i.giveUp()
	}
	<-i.done
	return !errors.Is(i.exit.Err, errGivenUp)
}

// remove has the container removed. One that cannot be is tried again, and keeps nobody from going on but the next
// start of that name.
func (i *instance) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	r := i.engine.drop(removal{id: i.id, service: i.record.Service, instance: i.record.Instance, saved: true})
	i.engine.forget(i.id)
	_ = r.wait(ctx) // a container that is not gone has been logged
	i.engine.removeRunDir(i.record.Service, i.record.Instance)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// terminate sends the signal and tells whether the container has ended before ctx does. One that is paused or stopped
// goes on first. The kernel drops a signal to the first process of a container that has no handler for it yet. So one
// that has just started gets it again, at growing intervals.
func (i *instance) terminate(ctx context.Context) bool {
	i.engine.wake(ctx, i.id)
	i.signal(ctx, i.signals)
	for wait := 500 * time.Millisecond; time.Since(i.began) < settleTimeout; wait *= 2 {
		select {
		case <-i.done:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(wait):
			i.signal(ctx, i.signals)
		}
	}
	select {
	case <-i.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal sends a signal, and tries again until the daemon answers or ctx ends.
func (i *instance) signal(ctx context.Context, sig string) {
	for n := 0; ; n++ {
		err := i.engine.api.ContainerKill(ctx, i.id, sig)
		if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // conflict: it does not run
			return
		}
		select {
		case <-i.done:
			return
		case <-ctx.Done():
			return
		case <-time.After(engine.Again.Delay(n, 0)):
		}
	}
}
