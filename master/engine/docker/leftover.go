//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/baetyl/baetyl/master/engine"
)

const (
	reapGrace   = 5 * time.Second  // between signal and SIGKILL for a left container without a grace time of its own
	reapTimeout = 30 * time.Second // that Reap waits; what takes longer is ended and removed all the same
)

// marks are what is known of some containers: ids, and handles of those whose start was not recorded to its end.
type marks map[string]bool

func marksOf(records []engine.Record) marks {
	m := marks{}
	for _, r := range records {
		if r.Container != nil {
			m[r.Container.ID] = true
		}
		if r.Handle != "" {
			m[r.Handle] = true
		}
	}
	return m
}

func (m marks) has(c container.Summary) bool { return m[c.ID] || m[c.Labels[labelHandle]] }

// Reap ends the containers of earlier runs of this master, recorded or not, and removes them, but for those in keep.
// One that cannot be removed is no error of Reap: it is tried again until it is gone, and what wants its name meanwhile
// gets the error.
func (e *Engine) Reap(ctx context.Context, records, keep []engine.Record) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	e.mu.Lock()
	e.keep = marksOf(keep)
	e.mu.Unlock()
	e.removeRunDirs(keep)
	if err := e.ping(ctx); err != nil {
		return err // Open tries again
	}
	return e.reap(ctx, marksOf(records))
}

// reapOnce does what Reap could not do while the daemon did not answer.
func (e *Engine) reapOnce(ctx context.Context) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	if e.hasReaped() {
		return nil
	}
	return e.reap(ctx, nil)
}

func (e *Engine) hasReaped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reaped
}

// reap is Reap with setup held. What this run has made, or adopted, goes only when it is recorded.
func (e *Engine) reap(ctx context.Context, recorded marks) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := e.unknown(ctx, recorded)
	if err != nil {
		return err
	}
	var all []attempt
	for _, c := range list {
		e.logOf(c).Warnf("container was left by an earlier master and is removed")
		all = append(all, e.drop(leftover(c)))
	}
	e.mu.Lock()
	e.reaped = true
	e.mu.Unlock()
	waiting, stop := context.WithTimeout(ctx, reapTimeout)
	defer stop()
	for _, r := range all {
		_ = r.wait(waiting) // one that is not gone is tried again, and has been logged
	}
	return ctx.Err()
}

// Discard removes the container of r, if this master made it.
func (e *Engine) Discard(ctx context.Context, r engine.Record) error {
	master, err := e.masterID()
	if err != nil {
		return err
	}
	// When the daemon does not answer now, endUnknown finds the container later.
	e.forgetKept(r)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout) // also when its grace time is over
	defer cancel()
	id, err := e.recorded(ctx, r)
	if errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := e.api.ContainerInspect(ctx, id)
	switch {
	case errdefs.IsNotFound(err) || err == nil && (c.ID != id || c.Config.Labels[labelMaster] != master):
		return nil
	case err != nil:
		return fmt.Errorf("look for container %s: %w", short(id), err)
	}
	return e.drop(removal{id: id, service: r.Service, instance: r.Instance}).wait(ctx)
}

// forgetKept takes r out of what Reap was told to keep.
func (e *Engine) forgetKept(r engine.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for mark := range marksOf([]engine.Record{r}) {
		delete(e.keep, mark)
	}
}

// makeRoom is called when the name of a new container is taken. It has the container that has the name removed, when
// this master made it and it belongs to no instance. Nil: the name may be free now. The daemon reserves a name before
// there is a container, and frees it after: then nothing has it.
func (e *Engine) makeRoom(ctx context.Context, name, master string) error {
	have, err := e.named(ctx, name)
	if err != nil || have == nil {
		return err
	}
	ours, err := e.made(ctx, *have)
	switch {
	case err != nil:
		return err
	case e.lives(have.ID):
		return fmt.Errorf("an instance of service %s has the name %s already", have.Labels[labelService], name)
	case !ours && have.Labels[labelMaster] != "" && have.Labels[labelMaster] != master:
		const text = "another master on this docker daemon has a container called %s (id %s): " +
			"rename the service of one of them"
		return fmt.Errorf(text, name, short(have.ID))
	case !ours:
		const text = "a container that is not ours has the name %s (id %s, image %s): " +
			"remove or rename it, or rename the service"
		return fmt.Errorf(text, name, short(have.ID), have.Image)
	}
	waiting, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	if err := e.drop(leftover(*have)).wait(waiting); err != nil {
		return fmt.Errorf("an earlier container has the name %s and is not gone yet: %w", name, err)
	}
	return nil
}
