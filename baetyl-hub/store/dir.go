package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// makeDir makes a folder, and those above it that are missing, each 0700, and brings their names to the disk: a
// database in a folder whose name is lost with the power is lost. sync is called for each folder that has a new name.
func makeDir(dir string, sync func(dir string) error) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(parent, sync); err != nil {
			return err
		}
	}
	switch err := os.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist): // perhaps made by a hub that was killed before it came to the sync
	case err != nil:
		return err
	}
	return sync(parent)
}
