//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
)

// reapGrace is the time between SIGTERM and SIGKILL for containers of an earlier master.
const reapGrace = 5 * time.Second

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
func (e *Engine) Reap(ctx context.Context, records, keep []engine.Record) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	e.keep = marksOf(keep)
	if err := e.ping(ctx); err != nil {
		return err // Open tries again
	}
	return e.reap(ctx, marksOf(records))
}

// reapOnce does what Reap could not do while the daemon did not answer.
func (e *Engine) reapOnce(ctx context.Context) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	if e.reaped {
		return nil
	}
	return e.reap(ctx, nil)
}

// reap is Reap with setup held. What this run has made, or adopted, goes only when it is recorded.
func (e *Engine) reap(ctx context.Context, recorded marks) error {
	id, err := e.masterID()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ours := filters.NewArgs(filters.Arg("label", labelMaster+"="+id))
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return fmt.Errorf("look for containers of an earlier master: %w", err)
	}
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for n, c := range list {
		own := c.Labels[labelRun] == e.run || e.lives(c.ID)
		if c.Labels[labelMaster] != id || e.keep.has(c) || own && !recorded.has(c) {
			continue
		}
		wg.Go(func() {
			e.opts.Log.WithField(log.KeyService, c.Labels[labelService]).
				WithField(log.KeyInstance, c.Labels[labelInstance]).WithField("container", short(c.ID)).
				Warnf("container was left by an earlier master and is removed")
			errs[n] = e.end(ctx, c.ID)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove containers of an earlier master: %w", err)
	}
	e.reaped = true
	return nil
}

// Discard removes the container of r, if this master made it.
func (e *Engine) Discard(ctx context.Context, r engine.Record) error {
	master, err := e.masterID()
	if err != nil {
		return err
	}
	e.setup.Lock() // when the daemon does not answer now, reapOnce removes the container
	for mark := range marksOf([]engine.Record{r}) {
		delete(e.keep, mark)
	}
	e.setup.Unlock()
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
	return e.end(ctx, id)
}

// end stops a container that has no instance here, and removes it.
func (e *Engine) end(ctx context.Context, id string) error {
	grace := int(reapGrace / time.Second)
	// An error is of no interest: remove also removes a container that runs.
	_ = e.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &grace})
	return e.remove(ctx, id)
}

// remove removes a container of this master by its exact id, and returns when it is gone.
func (e *Engine) remove(ctx context.Context, id string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if errdefs.IsNotFound(err) {
			return nil
		}
		if err != nil && !errdefs.IsConflict(err) { // conflict: it is being removed already
			return fmt.Errorf("remove container %s: %w", short(id), err)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %s: %w", short(id), err)
		case <-tick.C:
		}
	}
}

// makeRoom removes the container that has the name, when this master made it and it belongs to no instance.
func (e *Engine) makeRoom(ctx context.Context, name, master string) error {
	have, err := e.api.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) || err == nil && have.Name != "/"+name {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	switch {
	case e.lives(have.ID):
		return fmt.Errorf("an instance of service %s has the name %s already", have.Config.Labels[labelService], name)
	case have.Config.Labels[labelMaster] == "":
		const text = "a container that is not ours has the name %s (id %s, image %s): " +
			"remove or rename it, or rename the service"
		return fmt.Errorf(text, name, short(have.ID), have.Config.Image)
	case have.Config.Labels[labelMaster] != master:
		const text = "another master on this docker daemon has a container called %s (id %s): " +
			"rename the service of one of them"
		return fmt.Errorf(text, name, short(have.ID))
	}
	return e.remove(ctx, have.ID)
}
