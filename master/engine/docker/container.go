//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	p, err := configure(request{
		Service: s.service, Spec: spec, Mounts: s.mounts, Socket: e.opts.Socket, Master: master, Run: e.run, Kernel: s.kernel,
	})
	if err != nil {
		return nil, err
	}
	s.warned.Do(func() {
		for _, w := range p.Warnings {
			s.log.Warnf("%s", w)
		}
	})
	// Wait for the answer also when ctx ends: the daemon carries out a cancelled request, and its container would be
	// lost.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	id, err := e.create(bounded, spec.Name, p)
	if err != nil {
		return nil, err
	}
	if err = e.launch(bounded, id, p); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.forget(id)
		return nil, errors.Join(err, e.remove(bounded, id))
	}
	return s.watch(id, spec.Name), nil
}

// Adopt finds nothing.
func (s *sandbox) Adopt(context.Context, engine.Spec, engine.Record) (engine.Instance, error) {
	return nil, engine.ErrGone
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
			e.mu.Lock()
			e.live[c.ID] = name
			e.mu.Unlock()
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

// makeRoom removes the container that has the name, when this master made it and it belongs to no instance.
func (e *Engine) makeRoom(ctx context.Context, name, master string) error {
	have, err := e.api.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) || err == nil && have.Name != "/"+name {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	_, lives := e.live[have.ID]
	e.mu.Unlock()
	switch {
	case lives:
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

// launch connects the further networks and starts the container.
func (e *Engine) launch(ctx context.Context, id string, p plan) error {
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
