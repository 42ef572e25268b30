package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// makeDir makes a folder, and missing ones above it, with mode 0700. It calls sync for the parent of each, so that
// their names are on stable storage: if a power loss removed the folder's name, the database would be lost.
func makeDir(dir string, sync func(dir string) error) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(parent, sync); err != nil {
			return err
		}
	}
	switch err := os.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist): // perhaps made by a hub that was killed before the sync
	case err != nil:
		return err
	}
	return sync(parent)
}
