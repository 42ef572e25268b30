//go:build unix

// Package folder finds the folder of the host that a volume names, and keeps it below the working directory of the
// master.
//
//	volume ─► CleanPath ─► <workdir>/<path> ─► links followed ─► still below a root? ─► mounted, or linked, by the engine
//
// It promises that no path, and no link that a service may have made, leads to another place of the host when it is
// checked. It does not protect from a process that replaces a folder by a link between the check and the mount.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// Data is the folder of the master's data, relative to its working directory.
const Data = "var/db/baetyl"

// Source returns the absolute path, without links, of path, which is relative to workdir. A missing folder is created
// unless readonly is set.
func Source(workdir, path string, readonly bool) (string, error) {
	clean, err := app.CleanPath(path)
	if err != nil {
		return "", err
	}
	roots, err := roots(workdir)
	if err != nil {
		return "", err
	}
	path = filepath.Join(workdir, filepath.FromSlash(clean))
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && !readonly {
		if err := create(path, roots); err != nil {
			return "", err
		}
		real, err = filepath.EvalSymlinks(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist, and a read-only volume is not created: put its content there", path)
	case err != nil:
		return "", err
	case !Within(real, roots...):
		return "", fmt.Errorf("%s leads to %s, outside of the working directory", path, real)
	}
	return real, nil
}

// create makes the folder, after it has checked that no link above leads elsewhere.
func create(path string, roots []string) error {
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
		if !Within(real, roots...) {
			return fmt.Errorf("%s leads to %s, outside of the working directory", above, real)
		}
		return os.MkdirAll(path, 0o755)
	}
}

// roots are the folders that volumes stay in: the working directory, and the places that its owner has moved its
// data to with a link. Services can write below these folders only, so none can add a root.
func roots(workdir string) ([]string, error) {
	var out []string
	for _, dir := range []string{"", "etc", "var", "var/db", Data, "var/log"} {
		real, err := filepath.EvalSymlinks(filepath.Join(workdir, dir))
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

// Within tells whether path is one of the roots or below one.
func Within(path string, roots ...string) bool {
	for _, r := range roots {
		if path == r || strings.HasPrefix(path, strings.TrimSuffix(r, "/")+"/") {
			return true
		}
	}
	return false
}
