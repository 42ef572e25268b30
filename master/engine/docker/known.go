//go:build unix

package docker

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/baetyl/baetyl/utils/log"
)

// closeTimeout is how long the end of the master waits for containers that have no instance.
const closeTimeout = 30 * time.Second

// known is which containers belong to an instance, or to a start. Everything else that this master made is removed.
// Engine.mu guards it.
type known struct {
	live   map[string]bool // ids of containers that belong to an instance, from their creation until they are removed
	starts map[string]bool // handles of starts that go on; their containers may be there before the daemon says so
	keep   marks           // what Reap was told to keep, until it is adopted or discarded
}

func newKnown() known {
	return known{live: map[string]bool{}, starts: map[string]bool{}}
}

// begins notes that a start with that handle goes on; the func that it returns, that it has come to an end.
func (e *Engine) begins(handle string) (ends func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starts[handle] = true
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.starts, handle)
	}
}

// knows notes that the container belongs to an instance, until forget.
func (e *Engine) knows(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live[id] = true
}

func (e *Engine) lives(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.live[id]
}

func (e *Engine) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, id)
}

// endUnknown ends and removes what this master has made and no instance knows: a start that the daemon has carried out
// after its deadline, an instance that was given up, one that somebody has restored. It does not wait for their end.
// Before Reap it does nothing, since nobody has said what to keep.
func (e *Engine) endUnknown(ctx context.Context) {
	if !e.hasReaped() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := e.unknown(ctx, nil)
	if err != nil {
		e.opts.Log.WithError(err).Debugf("cannot look for containers that no instance has; it is done again")
		return
	}
	for _, c := range list {
		if !e.gone.has(c.ID) {
			e.logOf(c).Warnf("container belongs to no instance and is removed")
			e.drop(leftover(c))
		}
	}
}

// endUnknownAlways does so until ctx ends.
func (e *Engine) endUnknownAlways(ctx context.Context) {
	tick := time.NewTicker(compareInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.endUnknown(ctx)
		}
	}
}

func (all *removals) has(id string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.all[id] != nil
}

// unknown lists the containers of this master that belong to no instance and no start, and are not to be kept; and
// those in recorded whatever they belong to.
func (e *Engine) unknown(ctx context.Context, recorded marks) (out []container.Summary, err error) {
	id, err := e.masterID()
	if err != nil {
		return nil, err
	}
	ours := filters.NewArgs(filters.Arg("label", labelMaster+"="+id))
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("look for containers that no instance has: %w", err)
	}
	for _, c := range list {
		if c.Labels[labelMaster] != id || !e.unwanted(c, recorded) {
			continue
		}
		made, err := e.made(ctx, c)
		if err != nil {
			e.logOf(c).WithError(err).Debugf("cannot tell whose container it is; it is left alone for now")
			continue
		}
		if made {
			out = append(out, c)
		}
	}
	return out, nil
}

// unwanted tells whether a container belongs to nothing, as far as its labels can be trusted.
func (e *Engine) unwanted(c container.Summary, recorded marks) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keep.has(c) || e.starts[c.Labels[labelHandle]] {
		return false
	}
	lives := e.live[c.ID]
	return !lives || recorded.has(c)
}

// made tells whether this master has made the container. `docker commit` copies the labels of a container to an image,
// and what is started from that has them too. But each start has a handle of its own: a container of ours never has the
// one of its image.
func (e *Engine) made(ctx context.Context, c container.Summary) (bool, error) {
	id, err := e.masterID()
	if err != nil || c.Labels[labelMaster] != id {
		return false, err
	}
	i, err := e.api.ImageInspect(ctx, c.ImageID)
	switch {
	case errdefs.IsNotFound(err): // removed by force: the name has to tell
		return slices.Contains(c.Names, "/"+c.Labels[labelInstance]), nil
	case err != nil:
		return false, fmt.Errorf("look for the image of container %s: %w", short(c.ID), err)
	}
	return i.Config == nil || i.Config.Labels[labelMaster] == "" ||
		i.Config.Labels[labelHandle] != c.Labels[labelHandle], nil
}

// named returns the container that has the name; nil: none. A name may also be the beginning of an id, or belong to a
// link, so the daemon's own way of looking up is of no use.
func (e *Engine) named(ctx context.Context, name string) (*container.Summary, error) {
	with := filters.NewArgs(filters.Arg("name", "^/?"+regexp.QuoteMeta(name)+"$"))
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: with})
	if err != nil {
		return nil, fmt.Errorf("look for container %s: %w", name, err)
	}
	for _, c := range list {
		if slices.Contains(c.Names, "/"+name) {
			return &c, nil
		}
	}
	return nil, nil
}

func (e *Engine) logOf(c container.Summary) log.Logger {
	return e.opts.Log.WithField(log.KeyService, c.Labels[labelService]).
		WithField(log.KeyInstance, c.Labels[labelInstance]).WithField("container", short(c.ID))
}

// endLeft ends what no instance has, as the last thing that the master does. What is left then is in the log, and the
// next master ends it.
func (e *Engine) endLeft() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if e.hasReaped() {
		if err := e.ping(ctx); err == nil {
			e.endUnknown(ctx)
		}
	}
	for _, r := range e.gone.end(ctx) {
		e.opts.Log.WithField(log.KeyService, r.service).WithField(log.KeyInstance, r.instance).
			WithField("container", short(r.id)).WithError(r.err).
			Errorf("container is left behind; the next start of the master tries again to remove it")
	}
}
