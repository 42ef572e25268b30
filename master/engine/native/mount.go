//go:build unix

package native

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	volume   string // empty: the socket of the API
	what     string // for messages
}

// links finds the source of each mount.
func (e *Engine) links(s engine.Service, find folder.Finder) ([]link, error) {
	var out []link
	if e.opts.Socket != "" {
		out = append(out, link{target: socketPath, source: e.socket(), what: "socket of the API"})
	}
	for _, m := range s.Mounts {
		what := fmt.Sprintf("mount %s of volume %s", m.Path, m.Name)
		target, err := app.CleanPath(m.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		source, err := source(e.opts.Workdir, s.Volumes[m.Name], m.ReadOnly, find)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, link{target: target, source: source, readonly: m.ReadOnly, volume: m.Name, what: what})
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

// socket is the path of the API's socket without links above it.
func (e *Engine) socket() string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(e.opts.Socket)); err == nil {
		return filepath.Join(dir, filepath.Base(e.opts.Socket))
	}
	return e.opts.Socket
}

// source returns where the content of v is. A volume without a path is a folder of the master's data.
func source(workdir string, v app.Volume, readonly bool, find folder.Finder) (string, error) {
	if !v.Managed() {
		return find(workdir, v.Path, readonly)
	}
	if v.Driver != "local" || len(v.DriverOpts) > 0 {
		return "", errors.New("native mode has no volume drivers; write a path")
	}
	return find(workdir, filepath.Join(folder.Data, v.Name), readonly)
}

// writable tells whether the service gets path writable, by this mount or by another one that contains it: then it
// cannot be read-only, since a link cannot be both.
func writable(links []link, path string) bool {
	for _, l := range links {
		if !l.readonly && folder.Within(path, l.source) {
			return true
		}
	}
	return false
}

// touches tells whether the service gets path, or something in it, writable.
func touches(links []link, path string) bool {
	return writable(links, path) || slices.ContainsFunc(links, func(l link) bool {
		return !l.readonly && l.volume != "" && folder.Within(l.source, path)
	})
}
