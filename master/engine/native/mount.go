//go:build unix

package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
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
		source, err := source(e.opts.Workdir, s.Volumes[m.Name], m.ReadOnly)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, link{target: target, source: source, readonly: m.ReadOnly, what: what})
	}
	// Outer paths first, so that the loop below finds one inside another.
	sort.SliceStable(out, func(i, j int) bool {
		return strings.Count(out[i].target, "/") < strings.Count(out[j].target, "/")
	})
	for i, l := range out {
		for _, outer := range out[:i] {
			if strings.HasPrefix(l.target+"/", outer.target+"/") {
				const text = "%s lies inside %s; native mode cannot nest them: choose a path beside it"
				return nil, fmt.Errorf(text, l.what, outer.what)
			}
		}
	}
	return out, nil
}

// source returns where the content of v is. A volume without a path is a folder of the master's data.
func source(workdir string, v app.Volume, readonly bool) (string, error) {
	if !v.Managed() {
		return folder.Source(workdir, v.Path, readonly)
	}
	if v.Driver != "local" || len(v.DriverOpts) > 0 {
		return "", errors.New("native mode has no volume drivers; write a path")
	}
	return folder.Source(workdir, filepath.Join(folder.Data, v.Name), readonly)
}

// build makes the directory with its links. Parents are created in the directory only: links has checked that no
// target lies inside another one.
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

// protected returns the sources that are to be read-only. One that the service also gets writable, by another mount
// that contains it, is left out: a link cannot be both.
func protected(links []link) (paths []string) {
	for _, l := range links {
		writable := !l.readonly
		for _, o := range links {
			writable = writable || !o.readonly && folder.Within(l.source, o.source)
		}
		if !writable {
			paths = append(paths, l.source)
		}
	}
	return paths
}
