//go:build unix

package docker

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// mounts finds the sources of a service's mounts.
func mounts(workdir string, s engine.Service) ([]mountPoint, error) {
	var out []mountPoint
	for _, m := range s.Mounts {
		what := fmt.Sprintf("mount %s of volume %s", m.Path, m.Name)
		target, err := app.CleanPath(m.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if "/"+target == socketPath {
			return nil, fmt.Errorf("%s: %s is the socket of the API", what, socketPath)
		}
		v := s.Volumes[m.Name]
		p := mountPoint{Source: v.Name, Managed: v.Managed(), Target: "/" + target, ReadOnly: m.ReadOnly}
		if !p.Managed {
			if p.Source, err = folder.Source(workdir, v.Path, m.ReadOnly); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if admin := adminDir(workdir); folder.Within(admin, p.Source) || folder.Within(p.Source, admin) {
				const text = "%s: %s has the admin socket of the master in it, which no container is given"
				return nil, fmt.Errorf(text, what, p.Source)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// adminDir is the folder of the admin socket, without links. Root in a container is root for that socket.
func adminDir(workdir string) string {
	dir := filepath.Join(workdir, filepath.Dir(masterapi.AdminSocket))
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	if real, err := filepath.EvalSymlinks(workdir); err == nil { // there is no master yet: a test, or `check`
		return filepath.Join(real, filepath.Dir(masterapi.AdminSocket))
	}
	return dir
}

// labelled returns labels with the label of baetyl added.
func labelled(labels map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, labels)
	out[labelBaetyl] = labelBaetyl
	return out
}

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
			Driver: want.Driver, Options: want.DriverOpts, Labels: labelled(want.Labels),
		})
		if err != nil && !errdefs.IsConflict(err) { // another master may have created it meanwhile
			return fmt.Errorf("create network %s: %w", p.Network, err)
		}
	}
	return nil
}

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
				Name: want.Name, Driver: want.Driver, DriverOpts: want.DriverOpts, Labels: labelled(want.Labels),
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
