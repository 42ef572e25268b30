//go:build unix

package docker

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"

	"github.com/baetyl/baetyl/master/engine"
)

// makeVolumes makes the volumes of a service that docker manages.
func (e *Engine) makeVolumes(ctx context.Context, s engine.Service) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	for _, m := range s.Mounts {
		want := s.Volumes[m.Name]
		if !want.Managed() {
			continue
		}
		have, err := e.api.VolumeInspect(ctx, want.Name)
		switch {
		case errdefs.IsNotFound(err):
			_, err = e.api.VolumeCreate(ctx, volume.CreateOptions{
				Name: want.Name, Driver: want.Driver, DriverOpts: want.DriverOpts, Labels: e.labelled(want.Labels),
			})
			if err != nil {
				return fmt.Errorf("create volume %s: %w", want.Name, err)
			}
		case err != nil:
			return fmt.Errorf("look for volume %s: %w", want.Name, err)
		case have.Driver != want.Driver || !maps.Equal(have.Options, want.DriverOpts): // nil and empty are equal
			return fmt.Errorf("volume %s exists with another driver or other options", want.Name)
		}
	}
	return nil
}
