//go:build unix

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// link is one entry of a service's directory.
type link struct {
	target   string // relative to the directory, clean
	source   string // absolute, without links
	readonly bool
	what     string // for messages
}

// links finds the source of each mount, and creates the missing folder of a writable one.
func (e *Engine) links(s engine.Service) ([]link, error) {
	var out []link
	if e.opts.Socket != "" {
		out = append(out, link{target: socketPath, source: e.opts.Socket, what: "socket of the API"})
	}
	for _, m := range s.Mounts {
		what := fmt.Sprintf("mount %s of volume %s", m.Path, m.Name)
		target, err := app.CleanPath(m.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		source, err := e.source(s.Volumes[m.Name], m.ReadOnly)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, link{target: target, source: source, readonly: m.ReadOnly, what: what})
	}
	// Shallow ones first, so that one inside another is noticed when its turn comes.
	sort.SliceStable(out, func(i, j int) bool {
		return strings.Count(out[i].target, "/") < strings.Count(out[j].target, "/")
	})
	for i, l := range out {
		for _, outer := range out[:i] {
			if strings.HasPrefix(l.target+"/", outer.target+"/") {
				return nil, fmt.Errorf("%s lies inside %s; native mode cannot nest them: choose a path beside it", l.what, outer.what)
			}
		}
	}
	return out, nil
}

// source returns where the content of v is, without links. A missing folder is created for who may write to it.
func (e *Engine) source(v app.Volume, readonly bool) (string, error) {
	rel := filepath.Join(managedDir, v.Name)
	if v.Managed() {
		if v.Driver != "local" || len(v.DriverOpts) > 0 {
			return "", errors.New("native mode has no volume drivers; write a path")
		}
	} else {
		clean, err := app.CleanPath(v.Path)
		if err != nil {
			return "", err
		}
		rel = filepath.FromSlash(clean)
	}
	roots, err := e.roots()
	if err != nil {
		return "", err
	}
	path := filepath.Join(e.opts.Workdir, rel)
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && !readonly {
		if err := e.create(path, roots); err != nil {
			return "", err
		}
		real, err = filepath.EvalSymlinks(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist, and a read-only volume is not created: put its content there", path)
	case err != nil:
		return "", err
	case !within(real, roots):
		return "", fmt.Errorf("%s leads to %s, outside of the working directory", path, real)
	}
	return real, nil
}

// create makes the folder, after it made sure that no link above leads elsewhere.
func (e *Engine) create(path string, roots []string) error {
	for above := filepath.Dir(path); ; above = filepath.Dir(above) {
		real, err := filepath.EvalSymlinks(above)
		if errors.Is(err, fs.ErrNotExist) && above != filepath.Dir(above) {
			if _, err := os.Lstat(above); err == nil {
				return fmt.Errorf("%s is a link to nothing", above)
			}
			continue
		}
		if err != nil {
			return err
		}
		if !within(real, roots) {
			return fmt.Errorf("%s leads to %s, outside of the working directory", above, real)
		}
		return os.MkdirAll(path, 0o755)
	}
}

// roots are the folders that volumes stay in: the working directory, and where its owner put its data by a link. Services
// can write below these folders at most, so none can add a root.
func (e *Engine) roots() ([]string, error) {
	var out []string
	for _, dir := range []string{"", "etc", "var", "var/db", managedDir, "var/log"} {
		real, err := filepath.EvalSymlinks(filepath.Join(e.opts.Workdir, dir))
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != "":
		case err != nil:
			return nil, err
		default:
			out = append(out, real)
		}
	}
	return out, nil
}

func within(path string, roots []string) bool {
	for _, r := range roots {
		if path == r || strings.HasPrefix(path, strings.TrimSuffix(r, "/")+"/") {
			return true
		}
	}
	return false
}

// build makes the directory with its links. Parents are created in the directory only: links has seen to it that no target
// lies behind another one.
func build(dir string, links []link) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, l := range links {
		target := filepath.Join(dir, filepath.FromSlash(l.target))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
		if err := os.Symlink(l.source, target); err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
	}
	return nil
}

// protected returns the sources that are to be read-only. One that the service also gets writable, by another mount that
// contains it, is left out: a link cannot be both.
func protected(links []link) (paths []string) {
	for _, l := range links {
		writable := !l.readonly
		for _, o := range links {
			writable = writable || !o.readonly && within(l.source, []string{o.source})
		}
		if !writable {
			paths = append(paths, l.source)
		}
	}
	return paths
}
