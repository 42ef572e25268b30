package update

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// Files of a package.
const (
	appFile      = "application.yml"
	metadataFile = "metadata.yml" // optional; volumes beside those of application.yml
	binaryFile   = "bin/baetyl"
)

// maxVolumes is how many volumes an application may have.
const maxVolumes = 1000

// prepare downloads everything that the update needs. It returns the path for the master, relative to its working
// directory, and the application that lies there.
func (u *Updater) prepare(ctx context.Context, o cloud.OTA) (target string, a eventstore.App, err error) {
	if err := u.Volumes.Ensure(ctx, o.Volume, u.live); err != nil {
		return "", a, err
	}
	dir, err := o.Volume.Dir()
	if err != nil {
		return "", a, err
	}
	host, here := path.Join(cloud.Root, dir), filepath.Join(u.Volumes.Dir, filepath.FromSlash(dir))
	if o.Type == masterapi.UpdateMaster {
		st, err := os.Lstat(filepath.Join(here, binaryFile))
		if err != nil || !st.Mode().IsRegular() {
			return "", a, fmt.Errorf("read package: it has no file %s", binaryFile)
		}
		return path.Join(host, binaryFile), a, nil
	}
	m, err := readMetadata(here)
	if err != nil {
		return "", a, fmt.Errorf("read package: %w", err)
	}
	a = eventstore.App{Version: m.Version, Volumes: []string{host}}
	for _, v := range m.Volumes {
		a.Volumes = append(a.Volumes, v.Path)
	}
	for _, v := range m.downloads() {
		if err := u.Volumes.Ensure(ctx, v, u.live); err != nil {
			return "", a, err
		}
	}
	return path.Join(host, appFile), a, nil
}

// live returns the paths of the volumes of the running application. It waits up to Timeout for a master that does not
// answer, because it restarts for example.
func (u *Updater) live(ctx context.Context) (paths []string, err error) {
	deadline := time.Now().Add(u.Timeout)
	for n := 0; ; n++ {
		i, err := u.Master.Inspect(ctx)
		if err == nil {
			for _, v := range i.Volumes {
				paths = append(paths, v.Path)
			}
			return paths, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, err
		}
		_ = wait(ctx, u.retry().Delay(n, rand.Float64())) // if ctx ends, the check above returns
	}
}

// metadata says which volumes an application has and where they are downloaded from. Version is the one that the master
// will report.
type metadata struct {
	Version string         `yaml:"-" json:"-"`
	Volumes []cloud.Volume `yaml:"volumes" json:"volumes"`
}

// readMetadata reads the volumes in application.yml and metadata.yml of dir, and checks the application.
func readMetadata(dir string) (*metadata, error) {
	a, err := app.Load(filepath.Join(dir, appFile))
	if err != nil {
		return nil, err
	}
	if len(a.Services) == 0 {
		return nil, errors.New("app config invalid: service list is empty")
	}
	m := &metadata{Version: a.Version}
	data, err := conf.ReadFile(filepath.Join(dir, metadataFile))
	switch {
	case err == nil:
		err = parseMetadata(data, m)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	for _, v := range a.Volumes {
		if !v.Managed() {
			m.Volumes = append(m.Volumes, cloud.Volume{Name: v.Name, Path: v.Path, Meta: v.Meta})
		}
	}
	if len(m.Volumes) > maxVolumes {
		return nil, fmt.Errorf("%s: more than %d volumes", metadataFile, maxVolumes)
	}
	return m, m.check()
}

// parseMetadata reads metadata.yml. It ignores keys that it does not know.
func parseMetadata(data []byte, m *metadata) error {
	return conf.Parse(metadataFile, data, m, conf.AllowOthers(), conf.Only()) // from outside: it sees no environment
}

// check refuses volumes that can't be downloaded, and two packages for one folder.
func (m *metadata) check() error {
	content := map[string]app.VolumeMeta{}
	for i, v := range m.Volumes {
		if v.Meta.URL == "" {
			continue
		}
		if err := v.Check(); err != nil {
			return fmt.Errorf("volumes[%d].%w", i, err)
		}
		dir, err := v.Dir()
		if err != nil {
			return err
		}
		if other, ok := content[dir]; ok && (other.MD5 != v.Meta.MD5 || other.SHA256 != v.Meta.SHA256) {
			return fmt.Errorf("volumes[%d].path: %q stands twice, with two contents", i, v.Path)
		}
		content[dir] = v.Meta
	}
	return nil
}

// downloads are the volumes that come from the cloud, outer folders before those in them.
func (m *metadata) downloads() []cloud.Volume {
	out := slices.DeleteFunc(slices.Clone(m.Volumes), func(v cloud.Volume) bool { return v.Meta.URL == "" })
	slices.SortStableFunc(out, func(a, b cloud.Volume) int { return cmp.Compare(a.Path, b.Path) })
	return out
}
