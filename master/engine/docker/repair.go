//go:build unix

package docker

import (
	"context"
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
	case isRestarted, isExtra, isDifferent:
	}
	return "", nil
}

// resetLimits sets the limits of the plan. Docker has no way to say that a limit which was set later ends.
func (e *Engine) resetLimits(ctx context.Context, s *subject, have container.Resources) error {
	want := s.plan.Host.Resources
	update := container.Resources{CpusetCpus: want.CpusetCpus}
	wanted, updated, held := limits(&want), limits(&update), limits(&have)
	for n, l := range wanted {
		*updated[n].value = *l.value
		if *l.value == 0 && *held[n].value != 0 {
			*updated[n].value = unset[l.name]
		}
	}
	if want.Memory > 0 { // the two are checked together
		if update.MemorySwap = want.MemorySwap; update.MemorySwap == 0 && have.MemorySwap > 0 {
			update.MemorySwap = 2 * want.Memory
		}
	}
	if pids(have.PidsLimit) != pids(want.PidsLimit) {
		limit := pids(want.PidsLimit)
		if limit == 0 {
			limit = -1
		}
		update.PidsLimit = &limit
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

var errLimits = fmt.Errorf("docker cannot take a limit away from a container that runs; restart the service")

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
