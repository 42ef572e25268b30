//go:build unix

package docker

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
)

// makeNetworks makes the networks of a service that do not exist. One that exists is used as it is.
func (e *Engine) makeNetworks(ctx context.Context, s engine.Service) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	for _, p := range endpoints(s) {
		want, ok := s.Networks[p.Network]
		if !ok || want.Driver == "" {
			want.Driver = "bridge"
		}
		have, err := e.api.NetworkInspect(ctx, p.Network, network.InspectOptions{})
		switch {
		case err == nil && have.Name == p.Network:
			if have.Driver != want.Driver {
				const text = "network %s exists with driver %s, not %s; it is used as it is"
				e.opts.Log.Warnf(text, p.Network, have.Driver, want.Driver)
			}
			continue
		case err != nil && !errdefs.IsNotFound(err):
			return fmt.Errorf("look for network %s: %w", p.Network, err)
		}
		_, err = e.api.NetworkCreate(ctx, p.Network, network.CreateOptions{
			Driver: want.Driver, Options: want.DriverOpts, Labels: e.labelled(want.Labels),
		})
		if err != nil && !errdefs.IsConflict(err) { // another master may have created it meanwhile
			return fmt.Errorf("create network %s: %w", p.Network, err)
		}
	}
	return nil
}
