//go:build unix

// Package folder finds the folder of the host that a volume names, keeps it below the working directory of the master,
// and removes what services leave.
//
//	volume ─► CleanPath ─► the fixed root that it lies in, links followed ─► the rest, name by name: no link ─► mounted,
//	or linked, by the engine
//
// It promises that no link that a service has made decides what is mounted: below the fixed roots, where services
// write, none is followed. It does not protect from a process that replaces a folder by a link between the check and
// the mount; who mounts has to follow no link either.
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

// roots are the folders that the owner of a working directory may have moved with a link, relative to it. Services can
// write below these folders only, so none can make such a link. An inner one stands after the outer ones.
var roots = []string{"", "etc", "var", "var/db", Data, "var/log"}

// Finder is Source or Find.
type Finder func(workdir, path string, readonly bool) (string, error)

// Source returns the absolute path, without links, of path, which is relative to workdir. A missing folder is created
// unless readonly is set, or path means a file of the host (outside).
func Source(workdir, path string, readonly bool) (string, error) {
	if err := outside(workdir, path, false); err != nil {
		return "", err
	}
	return find(workdir, path, readonly, !readonly)
}

// Find is Source without its effect: what is missing is not created. It refuses an empty folder, too, which a version
// before has made in the place of a file of the host: a service that runs with one goes on, a new one is not meant.
func Find(workdir, path string, readonly bool) (string, error) {
	if err := outside(workdir, path, true); err != nil {
		return "", err
	}
	return find(workdir, path, readonly, false)
}

func find(workdir, path string, readonly, create bool) (string, error) {
	clean, err := app.CleanPath(path)
	if err != nil {
		return "", err
	}
	root, rest, err := split(workdir, clean)
	if err != nil {
		return "", err
	}
	if err := walk(workdir, root, rest, readonly, create); err != nil {
		return "", err
	}
	return filepath.Join(root, rest), nil
}

// split returns the innermost root that exists and has path in it, without links, and the rest of path.
func split(workdir, path string) (root, rest string, err error) {
	for _, dir := range roots {
		if dir != "" && !Within(path, dir) {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(workdir, dir))
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != "":
		case err != nil:
			return "", "", err
		default:
			root, rest = real, strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		}
	}
	return root, filepath.FromSlash(rest), nil
}

// walk goes from root along rest and follows no link, also none that is made meanwhile. What is missing is created if
// create is set; it is an error if readonly is.
func walk(workdir, root, rest string, readonly, create bool) error {
	if rest == "" {
		return nil
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { dir.Close() }()
	path := root
	for name := range strings.SplitSeq(rest, string(filepath.Separator)) {
		path = filepath.Join(path, name)
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) && create {
			if err := dir.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			info, err = dir.Lstat(name)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && !readonly:
			return nil // Source will make it
		case errors.Is(err, fs.ErrNotExist):
			const text = "%s does not exist, and a read-only volume is not created: put its content there"
			return fmt.Errorf(text, filepath.Join(root, rest))
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return refuse(workdir, path)
		case path == filepath.Join(root, rest):
			return nil // a folder, or a file
		}
		next, err := dir.OpenRoot(name)
		if err != nil {
			return err
		}
		now, err := next.Stat(".")
		dir.Close()
		dir = next
		if err == nil && !os.SameFile(info, now) {
			err = fmt.Errorf("%s was replaced while it was looked at", path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refuse says why the link at path is not followed.
func refuse(workdir, path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("%s is a link to nothing: %w", path, err)
	}
	for _, dir := range roots {
		root, err := filepath.EvalSymlinks(filepath.Join(workdir, dir))
		if err == nil && Within(real, root) {
			const text = "%s is a link, which a service may have made; links are followed only at etc, var, var/db, %s and " +
				"var/log: write the path that it leads to, %s"
			return fmt.Errorf(text, path, Data, real)
		}
	}
	return fmt.Errorf("%s leads to %s, outside of the working directory", path, real)
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
