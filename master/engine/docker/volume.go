//go:build unix

package docker

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// makeVolumes makes the volumes of a service that docker manages. One that exists with another driver or other options
// is an error: there may be data in it, and it is not where the application says. It holds no lock: a volume of another
// machine may hang. Two that make the same one get the same one.
func (e *Engine) makeVolumes(ctx context.Context, s engine.Service) error {
	master, err := e.masterID()
	if err != nil {
		return err
	}
	for _, m := range s.Mounts {
		want := s.Volumes[m.Name]
		if !want.Managed() {
			continue
		}
		have, err := e.api.VolumeInspect(ctx, want.Name)
		if errdefs.IsNotFound(err) {
			have, err = e.api.VolumeCreate(ctx, volume.CreateOptions{
				Name: want.Name, Driver: want.Driver, DriverOpts: want.DriverOpts, Labels: labelled(want.Labels, master),
			})
			if err != nil {
				return fmt.Errorf("create volume %s: %w", want.Name, err)
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("ask for volume %s: %w", want.Name, err)
		case have.Driver != want.Driver || !maps.Equal(have.Options, want.DriverOpts): // nil and empty are equal
			const text = "volume %s exists with driver %s and options %v, not %s and %v: " +
				"save what is in it, and remove it (docker volume rm %s), or give the volume of the application another name"
			return fmt.Errorf(text, want.Name, have.Driver, have.Options, want.Driver, want.DriverOpts, want.Name)
		}
	}
	return nil
}

// volumeOptions say how a volume is made. They stand in the container too: a daemon makes a volume that is missing at
// the start of a container, as one that was removed a moment ago, and without them that would be a plain one.
func volumeOptions(v app.Volume, master string) *mount.VolumeOptions {
	return &mount.VolumeOptions{
		Labels:       labelled(v.Labels, master),
		DriverConfig: &mount.Driver{Name: v.Driver, Options: v.DriverOpts},
	}
}

// labelled returns labels with those of baetyl and of its master added.
func labelled(labels map[string]string, master string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, labels)
	out[labelBaetyl], out[labelMaster] = labelBaetyl, master
	return out
}
