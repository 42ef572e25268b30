//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// surroundings makes what an instance needs and is not there: networks, volumes, the folders of mounts. It is called
// for each start, since others may have removed what was there for the one before.
func (s *sandbox) surroundings(ctx context.Context) ([]mountPoint, error) {
	m, err := mounts(s.engine.opts.Workdir, s.service, folder.Source)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := s.engine.makeNetworks(ctx, s.service); err != nil {
		return nil, err
	}
	return m, s.engine.makeVolumes(ctx, s.service)
}

// mounts finds the sources of a service's mounts.
func mounts(workdir string, s engine.Service, find folder.Finder) ([]mountPoint, error) {
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
		p := mountPoint{Source: v.Name, Volume: v, Target: "/" + target, ReadOnly: m.ReadOnly}
		if !v.Managed() {
			if p.Source, err = find(workdir, v.Path, m.ReadOnly); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
		}
		if from, admin := hostFolder(p), adminDir(workdir); from != "" &&
			(folder.Within(admin, from) || folder.Within(from, admin)) {
			const text = "%s: %s has the admin socket of the master in it, which no container is given"
			return nil, fmt.Errorf(text, what, from)
		}
		out = append(out, p)
	}
	return out, nil
}

// nested finds a mount in a read-only one that has no place for it: there docker can make none.
func nested(points []mountPoint) error {
	for _, inner := range points {
		for _, outer := range points {
			rest, ok := strings.CutPrefix(inner.Target, outer.Target+"/")
			if !ok || !outer.ReadOnly || outer.Volume.Managed() {
				continue
			}
			place := filepath.Join(outer.Source, rest)
			if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
				const text = "mount %s lies in mount %s, which is readonly and has no place for it: make %s, or choose a path " +
					"beside it"
				return fmt.Errorf(text, inner.Target, outer.Target, place)
			}
		}
	}
	return nil
}

// hostFolder is the folder of the host that a mount shows, without links; empty: none is known. A volume that docker
// keeps may be bound to one by its options.
func hostFolder(p mountPoint) string {
	v := p.Volume
	if !v.Managed() {
		return p.Source
	}
	device := v.DriverOpts["device"]
	bound := slices.ContainsFunc(strings.Split(v.DriverOpts["o"], ","), func(option string) bool {
		option = strings.TrimSpace(option)
		return option == "bind" || option == "rbind"
	})
	if device == "" || !bound {
		return ""
	}
	if real, err := filepath.EvalSymlinks(device); err == nil {
		return real
	}
	return filepath.Clean(device) // it is not there: docker will say so
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
