//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

// sandbox implements engine.Sandbox.
type sandbox struct {
	engine  *Engine
	service engine.Service
	kernel  kernel
	warned  sync.Once
	log     log.Logger
	path    string // of the file of the output
	output  *logfile.File
}

// Close closes the file of the output, and removes the run folders. Networks and volumes stay: volumes hold data, and
// networks may be used by others.
func (s *sandbox) Close() error {
	return errors.Join(output.Close(s.output),
		folder.Remove(filepath.Join(s.engine.opts.Workdir, instancesDir, s.service.Name)))
}

// Start creates and starts a container.
func (s *sandbox) Start(ctx context.Context, spec engine.Spec) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := s.engine
	if err := e.await(ctx, spec.Name); err != nil {
		return nil, err
	}
	m, err := s.surroundings(ctx)
	if err != nil {
		return nil, e.judge(ctx, err)
	}
	image, err := e.imageID(ctx, s.service)
	if err != nil {
		return nil, e.judge(ctx, err)
	}
	if spec.Handle == "" { // each start has one: what has that of its image was not made here
		spec.Handle = randomID()
	}
	run, err := s.makeRunDir(spec, m)
	if err != nil {
		return nil, err
	}
	p, err := s.plan(spec, image, m, run)
	if err != nil {
		return nil, err
	}
	s.warned.Do(func() {
		for _, w := range p.Warnings {
			s.log.Warnf("%s", w)
		}
	})
	return s.launch(ctx, spec, p)
}

// plan is the container for an instance of the service, made of the image with that id.
func (s *sandbox) plan(spec engine.Spec, image string, m []mountPoint, run string) (plan, error) {
	master, err := s.engine.masterID()
	if err != nil {
		return plan{}, err
	}
	return configure(request{
		Service: s.service, Spec: spec, Image: image, Mounts: m, Socket: s.engine.opts.Socket, Folder: run, Master: master,
		Run: s.engine.run, Kernel: s.kernel, Hardened: s.engine.settings.Load().Hardened,
	})
}

// launch makes and starts the container. It waits for the answer also when ctx ends, for a while: the daemon carries
// out a cancelled request, and its container would be lost. What comes later still is removed then.
func (s *sandbox) launch(ctx context.Context, spec engine.Spec, p plan) (engine.Instance, error) {
	e := s.engine
	type outcome struct {
		c   container.InspectResponse
		err error
	}
	made, abandoned := make(chan outcome), make(chan struct{})
	ends := e.begins(spec.Handle)
	e.late.Go(func() {
		defer ends()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		c, err := e.startContainer(bounded, spec.Name, p)
		select {
		case made <- outcome{c, err}:
			return
		case <-abandoned:
		}
		if err != nil {
			return
		}
		s.log.WithField(log.KeyInstance, spec.Name).WithField("container", short(c.ID)).
			Warnf("container was started when nobody waited for it any more, and is removed")
		e.forget(c.ID)
		e.drop(removal{id: c.ID, service: s.service.Name, instance: spec.Name})
	})
	var o outcome
	select {
	case o = <-made:
	case <-ctx.Done():
		select {
		case o = <-made:
		case <-time.After(lateTimeout):
			close(abandoned)
			return nil, ctx.Err()
		}
	}
	if o.err != nil {
		return nil, e.judge(ctx, o.err)
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, e.fail(ctx, o.c.ID, s.service.Name, spec.Name))
	}
	return s.watch(o.c, spec.Name, p, &place{}), nil
}

// fail removes the container of a start that is none. It waits for the first try alone.
func (e *Engine) fail(ctx context.Context, id, service, name string) error {
	e.forget(id)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapTimeout)
	defer cancel()
	return e.drop(removal{id: id, service: service, instance: name}).wait(bounded)
}

// startContainer creates and starts a container; after an error there is none, or it is being removed.
func (e *Engine) startContainer(ctx context.Context, name string, p plan) (container.InspectResponse, error) {
	id, err := e.create(ctx, name, p)
	if err != nil {
		return container.InspectResponse{}, unanswered(ctx, err)
	}
	var c container.InspectResponse
	if err = e.connect(ctx, id, p); err == nil {
		c, err = e.api.ContainerInspect(ctx, id)
	}
	if err != nil {
		err = unanswered(ctx, err)
		return c, errors.Join(err, e.fail(ctx, id, p.Config.Labels[labelService], name))
	}
	return c, nil
}

// unanswered says what a deadline of this engine means. Whether the daemon is away, judge finds out; what it carries
// out after all, endUnknown.
func unanswered(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("docker has not done it within %s: %w", requestTimeout, err)
	}
	return err
}

// create creates the container. An earlier one with the same name is removed, if this master made it. A name that
// nothing has, since its container is only being created or removed, is waited for.
func (e *Engine) create(ctx context.Context, name string, p plan) (string, error) {
	var first *network.NetworkingConfig
	if len(p.Endpoints) > 0 {
		first = &network.NetworkingConfig{
			EndpointsConfig: map[string]*network.EndpointSettings{p.Endpoints[0].Network: p.Endpoints[0].Settings},
		}
	}
	for until, n := time.Now().Add(removeTimeout), 0; ; n++ {
		c, err := e.api.ContainerCreate(ctx, p.Config, p.Host, first, name)
		if err == nil {
			e.knows(c.ID)
			for _, w := range c.Warnings {
				e.opts.Log.WithField(log.KeyInstance, name).Warnf("docker: %s", w)
			}
			return c.ID, nil
		}
		if !nameTaken(err) || n > 0 && time.Now().After(until) {
			return "", fmt.Errorf("create container: %w", err)
		}
		if err := e.makeRoom(ctx, name, p.Config.Labels[labelMaster]); err != nil {
			return "", fmt.Errorf("create container: %w", err)
		}
		if n == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("create container: %w", ctx.Err())
		case <-time.After(engine.Again.Delay(n, 0)):
		}
	}
}

// nameTaken tells whether a container was not created for its name. Podman says so with status 500.
func nameTaken(err error) bool {
	return errdefs.IsConflict(err) || errdefs.IsInternal(err) && strings.Contains(err.Error(), "name is already in use")
}

// connect connects the further networks and starts the container.
func (e *Engine) connect(ctx context.Context, id string, p plan) error {
	for n, to := range p.Endpoints {
		if n == 0 {
			continue
		}
		if err := e.api.NetworkConnect(ctx, to.Network, id, to.Settings); err != nil {
			return fmt.Errorf("connect container to network %s: %w", to.Network, err)
		}
	}
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}
