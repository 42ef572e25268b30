//go:build unix

package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/host/measure"
)

// Adopt returns the container of the record, if it is the one that an earlier run of this master has started for the
// definition as it is now. One of ours that is not so is removed; one that is not ours is left alone.
func (s *sandbox) Adopt(ctx context.Context, spec engine.Spec, r engine.Record) (engine.Instance, error) {
	e := s.engine
	if err := e.await(ctx, spec.Name); err != nil {
		return nil, err
	}
	master, err := e.masterID()
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	id, err := e.recorded(bounded, r)
	if err != nil {
		return nil, err
	}
	c, err := e.api.ContainerInspect(bounded, id)
	switch {
	case errdefs.IsNotFound(err):
		return nil, engine.ErrGone
	case err != nil:
		return nil, fmt.Errorf("look for container %s: %w", short(id), err)
	case c.ID != id || c.Config.Labels[labelMaster] != master: // an id may be the beginning of another one, or a name
		return nil, engine.ErrGone
	}
	if why := s.differs(c, r, e.boot()); why != "" {
		s.log.WithField("container", short(id)).Warnf("container of an earlier master is removed: %s", why)
		e.forgetKept(r)
		waiting, cancel := context.WithTimeout(bounded, reapTimeout)
		defer cancel()
		// When it is not gone, what needs its name is told so.
		_ = e.drop(removal{id: id, service: r.Service, instance: r.Instance}).wait(waiting)
		return nil, engine.ErrGone
	}
	p, err := s.plan(spec, c.Image, nil, "") // with its mounts a container was made
	if err != nil {
		return nil, err
	}
	began, _ := time.Parse(time.RFC3339Nano, c.State.StartedAt) // zero: all of its output is read
	from, err := findPlace(s.path, spec.Name, began)
	if err != nil {
		s.log.WithError(err).Warnf("cannot read how far the output of the instance is in its file; some may be twice there")
	}
	from.back = setBack(c.State.Pid, began, from.last(), time.Now())
	e.knows(id)
	e.adopted(ctx, s.service, c.Image)
	e.forgetKept(r) // it has an instance now
	endCommands(c.ID)
	i := s.watch(c, spec.Name, p, from)
	if c.State.Paused { // an earlier master may have ended while it was frozen; what fails is done by Run
		_ = i.Thaw(ctx)
	}
	if !c.State.Running { // so that Done says at once what was known before
		select {
		case <-i.done:
		case <-ctx.Done():
			i.giveUp()
			return nil, ctx.Err()
		}
	}
	return i, nil
}

const (
	startSlack = 5 * time.Second  // between the start of a container's process and what the daemon calls its start
	backSlack  = 10 * time.Second // so much more than necessary is read
)

// setBack is how far the clock was set back, at most, since a container began or wrote its last line; 0: not that is
// known. The kernel counts from its boot when a process has started, whatever the clock says; pid 0 or of another
// machine, and only the last line tells.
func setBack(pid int, began, last, now time.Time) time.Duration {
	back := last.Sub(now)
	if started, err := measure.Started(pid); pid > 0 && err == nil && !began.IsZero() {
		back = max(back, began.Sub(started)-startSlack)
	}
	if back <= 0 {
		return 0
	}
	return back + startSlack + backSlack
}

// recorded returns the id of the container of a record. A master that was killed during a start has recorded the handle
// alone.
func (e *Engine) recorded(ctx context.Context, r engine.Record) (string, error) {
	if r.Container != nil {
		return r.Container.ID, nil
	}
	if r.Handle == "" {
		return "", engine.ErrGone
	}
	with := filters.NewArgs(filters.Arg("label", labelHandle+"="+r.Handle))
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: with})
	if err != nil {
		return "", fmt.Errorf("look for the container of instance %s: %w", r.Instance, err)
	}
	found := ""
	for _, c := range list {
		made, err := e.made(ctx, c)
		switch {
		case err != nil:
			return "", err
		case made && found != "":
			return "", engine.ErrGone
		case made:
			found = c.ID
		}
	}
	if found == "" {
		return "", engine.ErrGone
	}
	return found, nil
}

// differs says why a container of this master is not the one of the record, or is of no use.
func (s *sandbox) differs(c container.InspectResponse, r engine.Record, boot string) string {
	labels := c.Config.Labels
	switch {
	case labels[labelService] != r.Service || labels[labelInstance] != r.Instance || labels[labelHandle] != r.Handle:
		return "it is that of another start"
	case labels[labelDigest] != s.service.Digest():
		return "the definition of its service has changed"
	case r.ImageID != "" && c.Image != r.ImageID:
		return "its image is not the recorded one"
	case !s.engine.adopts(s.service, c.Image):
		return "its image is not that of the application"
	case c.State.Status == container.StateCreated:
		return "it was never started"
	case !c.State.Running && r.Boot != "" && r.Boot != boot:
		return "it has ended with an earlier boot of the machine"
	}
	return ""
}
