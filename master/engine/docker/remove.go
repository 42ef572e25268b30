//go:build unix

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// removalsAtOnce is how many containers are ended and removed side by side.
const removalsAtOnce = 16

// removeAgain is how long a container that could not be removed is left alone. A disk in trouble, or a file that nobody
// may remove, does not become better by being asked all the time.
var removeAgain = backoff.Policy{Min: time.Second, Max: 5 * time.Minute, Factor: 2}

// removals are the containers that nothing wants any more. Each has a goroutine of its own that tries until the
// container is gone: one that cannot be removed holds up nothing but what wants its name.
//
//	drop ─► signal, its own grace ─► SIGKILL ─► rest of the output ─► removed ─► gone
//	             ▲                                                       │ cannot
//	             └── 1 s … 5 min, or as soon as somebody drops it again ─┘
type removals struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	atOnce chan struct{} // holds a value for each try; one more waits
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows, and what a removal says
	all    map[string]*removal
	closed bool
}

// removal is one container that has to go.
type removal struct {
	id, service, instance string
	saved                 bool // its output is in the file of its service

	of    *removals
	again chan struct{} // holds one value: somebody waits for it
	try   chan struct{} // closed after the try that runs, or the next one; then it is another one
	gone  chan struct{} // closed when nothing of it is left
	err   error         // of the last try
}

func newRemovals() *removals {
	r := &removals{atOnce: make(chan struct{}, removalsAtOnce), all: map[string]*removal{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// leftover is the removal of a container of which only the labels are known.
func leftover(c container.Summary) removal {
	return removal{id: c.ID, service: c.Labels[labelService], instance: c.Labels[labelInstance]}
}

// attempt is a try to end and remove a container that runs, or begins soon.
type attempt struct {
	*removal
	over <-chan struct{}
}

// drop has a container ended and removed in the background. One that is on its way already is tried at once.
func (e *Engine) drop(want removal) attempt {
	all := e.gone
	all.mu.Lock()
	defer all.mu.Unlock()
	if r := all.all[want.id]; r != nil {
		return r.hurry()
	}
	r := &want
	r.of, r.again, r.try, r.gone = all, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if all.closed {
		r.err = errors.New("the master has ended")
		close(r.try)
		return attempt{r, r.try}
	}
	all.all[r.id] = r
	all.work.Go(func() { e.untilGone(r) })
	return attempt{r, r.try}
}

// hurry has a removal tried at once. The mutex of the removals is held.
func (r *removal) hurry() attempt {
	select {
	case r.again <- struct{}{}:
	default:
	}
	return attempt{r, r.try}
}

// wait waits for the end of the attempt, until ctx ends. Nil: the container is gone.
func (r attempt) wait(ctx context.Context) error {
	select {
	case <-r.over:
	case <-ctx.Done():
	}
	if isClosed(r.gone) {
		return nil
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	return cmp.Or(r.err, fmt.Errorf("remove container %s: %w", short(r.id), context.Cause(ctx)))
}

func (e *Engine) untilGone(r *removal) {
	all := e.gone
	l := e.opts.Log.WithField(log.KeyService, r.service).WithField(log.KeyInstance, r.instance).
		WithField("container", short(r.id))
	said := ""
	for n := 0; ; n++ {
		err := e.endOnce(r)
		all.mu.Lock()
		r.err = err
		if err == nil {
			delete(all.all, r.id)
			close(r.gone)
		}
		close(r.try)
		r.try = make(chan struct{})
		all.mu.Unlock()
		switch {
		case err == nil && said != "":
			l.Infof("container is removed")
			return
		case err == nil || all.ctx.Err() != nil:
			return
		case err.Error() != said:
			said = err.Error()
			l.WithError(err).Warnf("cannot remove a container that nothing uses any more; it is tried again")
		}
		select {
		case <-all.ctx.Done():
			return
		case <-r.again:
		case <-time.After(removeAgain.Delay(n, 0)):
		}
	}
}

// endOnce is one try. Each step has its own time: a stop that hangs does not keep the container from being removed.
func (e *Engine) endOnce(r *removal) error {
	all := e.gone
	select {
	case all.atOnce <- struct{}{}:
		defer func() { <-all.atOnce }()
	case <-all.ctx.Done():
		return all.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(all.ctx, pingTimeout)
	c, err := e.api.ContainerInspect(ctx, r.id)
	cancel()
	switch {
	case errdefs.IsNotFound(err) || err == nil && c.ID != r.id:
		return nil
	case err != nil:
		return fmt.Errorf("look for container %s: %w", short(r.id), err)
	}
	if c.State.Running || c.State.Paused || c.State.Restarting {
		e.stopLeft(all.ctx, c)
	}
	if !r.saved && !e.lives(r.id) {
		ctx, cancel := context.WithTimeout(all.ctx, requestTimeout)
		e.saveRest(ctx, c)
		cancel()
		r.saved = true
	}
	ctx, cancel = context.WithTimeout(all.ctx, removeTimeout)
	defer cancel()
	return e.remove(ctx, r.id)
}

// stopLeft stops a container that has no instance here. An error is of no interest: remove also removes one that runs.
func (e *Engine) stopLeft(ctx context.Context, c container.InspectResponse) {
	grace := int(reapGrace / time.Second)
	if own := c.Config.StopTimeout; own != nil {
		grace = max(*own, int(minGrace/time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(grace)*time.Second+killTimeout)
	defer cancel()
	e.wake(ctx, c.ID)
	_ = e.api.ContainerStop(ctx, c.ID, container.StopOptions{Timeout: &grace})
}

// wake lets a container hear a signal that was paused, or whose process was stopped.
func (e *Engine) wake(ctx context.Context, id string) {
	_ = e.api.ContainerUnpause(ctx, id)         // an error: it is not paused
	_ = e.api.ContainerKill(ctx, id, "SIGCONT") // an error: it does not run
}

// remove removes a container of this master by its exact id, and returns when it is gone.
func (e *Engine) remove(ctx context.Context, id string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsConflict(err) { // conflict: it is being removed already
			return fmt.Errorf("remove container %s: %w", short(id), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %s: %w", short(id), err)
		case <-tick.C:
		}
	}
}

// end gives each container one more try, ends the tries, and returns what is still there. Nothing is dropped any more.
func (all *removals) end(ctx context.Context) (left []*removal) {
	all.mu.Lock()
	if all.closed {
		all.mu.Unlock()
		return nil // it was said
	}
	all.closed = true
	var tries []attempt
	for _, r := range all.all {
		tries = append(tries, r.hurry())
	}
	all.mu.Unlock()
	for _, try := range tries {
		_ = try.wait(ctx)
	}
	all.cancel()
	all.work.Wait()
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, r := range all.all {
		left = append(left, r)
	}
	return left
}
