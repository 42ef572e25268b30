package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// SyncDir is Disk.SyncDir of OS.
func SyncDir(dir string) error { return OS.SyncDir(dir) }

// SyncDir makes the entries of a folder durable: their names, not what is in them.
func (d Disk) SyncDir(dir string) error { return d.sync(dir) }

func (d Disk) sync(path string) error {
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// SyncTree is Disk.SyncTree of OS.
func SyncTree(dir string) error { return OS.SyncTree(dir) }

// SyncTree makes all files and folders at and below dir durable. Links are not followed.
func (d Disk) SyncTree(dir string) error {
	info, err := d.Lstat(dir)
	if err != nil {
		return err
	}
	return d.syncTree(dir, info.Mode())
}

func (d Disk) syncTree(path string, mode fs.FileMode) error {
	if !mode.IsRegular() && !mode.IsDir() {
		return nil
	}
	if err := d.sync(path); err != nil || !mode.IsDir() {
		return err
	}
	entries, err := d.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := d.syncTree(filepath.Join(path, e.Name()), e.Type()); err != nil {
			return err
		}
	}
	return nil
}

// MakeDir makes dir and the folders above it that are missing, durably.
func (d Disk) MakeDir(dir string, perm fs.FileMode) error {
	info, err := d.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, d.MkdirAll(dir, perm)) // says what is wrong
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := d.MakeDir(above, perm); err != nil {
			return err
		}
	}
	if err := d.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(above)
}
