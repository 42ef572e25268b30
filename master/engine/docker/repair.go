//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// repair does what the application says about a finding; done says what that was, for people. Empty, without an error:
// there is nothing to do.
func (e *Engine) repair(ctx context.Context, s *subject, now state, f finding) (done string, err error) {
	id := s.instance.id
	switch f.kind {
	case isPaused:
		return "continued", e.api.ContainerUnpause(ctx, id)
	case isRenamed:
		return "renamed back", e.api.ContainerRename(ctx, id, now.name)
	case isRevived:
		grace := int(reapGrace / time.Second)
		return "stopped again", e.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &grace})
	case hasPolicy:
		none := container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}}
		_, err := e.api.ContainerUpdate(ctx, id, none)
		return "set back", err
	case hasLimits:
		return "set back", e.resetLimits(ctx, s, now.container.HostConfig.Resources)
	case isCutOff:
		return "connected again", e.connectAgain(ctx, s, now.container, f.network)
	case isStopped, isRestarted, isExtra, isDifferent:
	}
	return "", nil
}

// resetLimits sets the limits that the container was started with. Docker has no way to say of some that they end.
func (e *Engine) resetLimits(ctx context.Context, s *subject, have container.Resources) error {
	update := container.Resources{CpusetCpus: s.limits.CpusetCpus}
	if have.CpusetCpus == s.limits.CpusetCpus {
		update.CpusetCpus = ""
	}
	want := s.limits
	to, held := limits(&update), limits(&have)
	for n, l := range limits(&want) {
		switch w, h := *l.value, *held[n].value; {
		case w == h:
		case w != 0:
			*to[n].value = w
		default:
			*to[n].value = l.unset
		}
	}
	if update.Memory != 0 { // the two are checked together
		update.MemorySwap = want.MemorySwap
	}
	if *update.PidsLimit == 0 {
		update.PidsLimit = nil
	}
	if _, err := e.api.ContainerUpdate(ctx, s.instance.id, container.UpdateConfig{Resources: update}); err != nil {
		return err
	}
	c, err := e.api.ContainerInspect(ctx, s.instance.id)
	if err == nil && len(limitsDiffer(want, c.HostConfig.Resources)) > 0 {
		return errLimits
	}
	return err
}

var errLimits = errors.New("docker cannot take a limit away from a container that runs; restart the service")

// connectAgain connects a container to a network as it was at its start. What is left of the connection before goes.
func (e *Engine) connectAgain(ctx context.Context, s *subject, c container.InspectResponse, name string) error {
	var to endpoint
	for _, to = range connections(s.plan) {
		if to.Network == name {
			break
		}
	}
	if len(s.plan.Endpoints) > 0 {
		if err := e.makeNetworks(ctx, s.box.service); err != nil {
			return err
		}
	}
	if have := c.NetworkSettings.Networks[name]; have != nil {
		err := e.api.NetworkDisconnect(ctx, have.NetworkID, c.ID, true)
		if errdefs.IsNotFound(err) { // the network that it was in is gone
			err = e.api.NetworkDisconnect(ctx, name, c.ID, true)
		}
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err) {
			return fmt.Errorf("disconnect: %w", err)
		}
	}
	settings := network.EndpointSettings{Aliases: to.Settings.Aliases, IPAMConfig: to.Settings.IPAMConfig}
	return e.api.NetworkConnect(ctx, name, c.ID, &settings)
}
