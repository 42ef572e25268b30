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
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

// sandbox implements engine.Sandbox.
type sandbox struct {
	engine  *Engine
	service engine.Service
	mounts  []mountPoint
	kernel  kernel
	warned  sync.Once
	log     log.Logger
	path    string // of the file of the output
	output  *logfile.File
}

// Close closes the file of the output. Networks and volumes stay: volumes hold data, and networks may be used by
// others.
func (s *sandbox) Close() error { return output.Close(s.output) }

// Start creates and starts a container.
func (s *sandbox) Start(ctx context.Context, spec engine.Spec) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := s.engine
	if err := e.await(ctx, spec.Name); err != nil {
		return nil, err
	}
	master, err := e.masterID()
	if err != nil {
		return nil, err
	}
	image, err := e.imageID(ctx, s.service)
	if err != nil {
		return nil, err
	}
	p, err := configure(request{
		Service: s.service, Spec: spec, Image: image, Mounts: s.mounts, Socket: e.opts.Socket, Master: master, Run: e.run,
		Kernel: s.kernel,
	})
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

// launch makes and starts the container. It waits for the answer also when ctx ends, for a while: the daemon carries
// out a cancelled request, and its container would be lost. What comes later still is removed then.
func (s *sandbox) launch(ctx context.Context, spec engine.Spec, p plan) (engine.Instance, error) {
	e := s.engine
	type outcome struct {
		c   container.InspectResponse
		err error
	}
	made, abandoned := make(chan outcome), make(chan struct{})
	e.late.Go(func() {
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
		e.forget(c.ID)
		if err := e.remove(bounded, c.ID); err != nil {
			s.log.WithError(err).Warnf("container was started too late; the next start of the master removes it")
		}
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
		return nil, o.err
	}
	if err := ctx.Err(); err != nil {
		e.forget(o.c.ID)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		return nil, errors.Join(err, e.remove(bounded, o.c.ID))
	}
	return s.watch(o.c, spec.Name, p.Warnings, &place{}), nil
}

// startContainer creates and starts a container; after an error there is none.
func (e *Engine) startContainer(ctx context.Context, name string, p plan) (container.InspectResponse, error) {
	id, err := e.create(ctx, name, p)
	if err != nil {
		return container.InspectResponse{}, err
	}
	var c container.InspectResponse
	if err = e.connect(ctx, id, p); err == nil {
		c, err = e.api.ContainerInspect(ctx, id)
	}
	if err != nil {
		e.forget(id)
		return c, errors.Join(err, e.remove(ctx, id))
	}
	return c, nil
}

// create creates the container. An earlier one with the same name is removed, if this master made it.
func (e *Engine) create(ctx context.Context, name string, p plan) (string, error) {
	var first *network.NetworkingConfig
	if len(p.Endpoints) > 0 {
		first = &network.NetworkingConfig{
			EndpointsConfig: map[string]*network.EndpointSettings{p.Endpoints[0].Network: p.Endpoints[0].Settings},
		}
	}
	for tries := 0; ; tries++ {
		c, err := e.api.ContainerCreate(ctx, p.Config, p.Host, first, nil, name)
		if err == nil {
			e.knows(c.ID, name)
			for _, w := range c.Warnings {
				e.opts.Log.WithField(log.KeyInstance, name).Warnf("docker: %s", w)
			}
			return c.ID, nil
		}
		if !errdefs.IsConflict(err) || tries > 0 {
			return "", fmt.Errorf("create container: %w", err)
		}
		if err := e.makeRoom(ctx, name, p.Config.Labels[labelMaster]); err != nil {
			return "", fmt.Errorf("create container: %w", err)
		}
	}
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
