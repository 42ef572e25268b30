package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/file"
)

// Files of an update, relative to the working directory.
const (
	dataDir    = "var/db/baetyl"
	recordFile = dataDir + "/update.json"
	backupFile = application.File + ".old" // there while an update is not finished
	damaged    = ".damaged"                // a file that was found damaged, beside it
)

// files are the application of a working directory and its backup. What an update does to them on disk is here, and
// nowhere else.
type files struct {
	workdir string
	disk    file.Disk
}

func (f files) app() string    { return filepath.Join(f.workdir, application.File) }
func (f files) backup() string { return filepath.Join(f.workdir, backupFile) }

// swap keeps the file of the running application as the backup, lets stage write the record of the new images, if there
// are any, and writes the new file. Each step is whole on disk before the next begins. running is what the application
// that runs was read from. After an error the old file is in its place again if restored says so.
func (f files) swap(data, running []byte, stage func() error) (restored bool, err error) {
	mode, owner, err := f.access()
	if err == nil {
		err = f.keep(running, mode, owner)
	}
	if err == nil {
		fault.At("backup written")
		if stage != nil {
			if err = stage(); err == nil {
				fault.At("images staged")
			}
		}
	}
	if err == nil {
		err = f.disk.WriteAs(f.app(), data, mode, owner)
	}
	if err != nil {
		restored, undo := f.putBack()
		return restored, errors.Join(err, undo)
	}
	fault.At("swapped")
	return false, nil
}

// access is the mode and the owner of the application's files: whoever wrote the one that is there has decided who
// reads it. A new one is not for all, since the environment of services may hold secrets.
func (f files) access() (fs.FileMode, file.Owner, error) {
	owner := file.Owner{UID: -1, GID: -1}
	info, err := f.disk.Stat(f.app())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return 0o640, owner, nil
	}
	if err != nil {
		return 0, owner, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = file.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return info.Mode().Perm(), owner, nil
}

// keep writes the backup; an empty one says that there was no application. A whole backup that exists already is kept:
// an earlier update could not put it back, perhaps because the disk was full.
func (f files) keep(running []byte, mode fs.FileMode, owner file.Owner) error {
	if state, err := f.backupState(); err != nil || state == backupWhole {
		return err
	}
	_, old, err := application.Choose(f.disk, f.workdir)
	var unread *fs.PathError
	if errors.As(err, &unread) && unread.Path == f.app() { // it may be good: nothing is to take its place
		return err
	}
	if err != nil { // kept for whoever wrote it, and never put back
		if err := f.keepDamaged(mode, owner); err != nil {
			return err
		}
	}
	if err != nil || old == nil {
		old = running
	}
	return f.disk.WriteAs(f.backup(), old, mode, owner)
}

// keepDamaged copies the file of a bad application. What is no file has nothing to copy.
func (f files) keepDamaged(mode fs.FileMode, owner file.Owner) error {
	info, err := f.disk.Stat(f.app())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	data, err := f.disk.ReadFile(f.app())
	if err != nil {
		return err
	}
	return f.disk.WriteAs(f.app()+damaged, data, mode, owner)
}

// commit makes the new application the one that boots. Once it is committed an error only says that a power cut now
// could bring the old one back.
func (f files) commit() (committed bool, err error) {
	if err := f.disk.Remove(f.backup()); err != nil {
		return false, fmt.Errorf("finish update of application: %w", err)
	}
	fault.At("committed")
	return true, f.disk.SyncDir(filepath.Dir(f.backup()))
}

// putBack replaces the application by the backup, if there is one, and forgets the images of the new one before. Once
// that is done an error only says that a power cut now could undo it; the next start does it again then.
func (f files) putBack() (done bool, err error) {
	info, err := f.disk.Lstat(f.backup())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err == nil {
		err = f.unstage()
	}
	switch {
	case err != nil:
	case info.Size() == 0: // there was none
		if err = f.remove(f.app()); err == nil {
			err = f.disk.Remove(f.backup())
		}
	default:
		err = f.disk.Rename(f.backup(), f.app())
	}
	if err != nil {
		return false, fmt.Errorf("put back application: %w", err)
	}
	return true, f.disk.SyncDir(filepath.Dir(f.app()))
}

// remove removes the file at path, if there is one, durably.
func (f files) remove(path string) error {
	if err := f.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.disk.SyncDir(filepath.Dir(path))
}

// write makes data the application, where a backup cannot be put back, and forgets the images of the new one before.
func (f files) write(data []byte) error {
	mode, owner, err := f.access()
	if err == nil {
		err = f.unstage()
	}
	switch {
	case err != nil:
	case len(data) == 0: // there was none
		err = f.remove(f.app())
	default:
		err = f.disk.WriteAs(f.app(), data, mode, owner)
	}
	if err != nil {
		return fmt.Errorf("write the previous application: %w", err)
	}
	return nil
}

// setAside renames a damaged backup, so that it can be examined later.
func (f files) setAside() error {
	if err := f.disk.Rename(f.backup(), f.backup()+damaged); err != nil {
		return fmt.Errorf("move damaged backup aside: %w", err)
	}
	return f.disk.SyncDir(filepath.Dir(f.backup()))
}

// tidy removes temporary files of interrupted writes.
func (f files) tidy() error {
	var errs []error
	images := filepath.Join(f.workdir, engine.ImagesFile)
	staged := filepath.Join(f.workdir, stagedFile)
	for _, path := range []string{f.app(), f.backup(), f.app() + damaged, images, staged} {
		if err := f.disk.Tidy(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("tidy up beside %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// backup is the state of the backup file.
type backup int

const (
	backupNone backup = iota
	backupWhole
	backupDamaged
)

func (f files) backupState() (backup, error) {
	_, err := f.disk.Lstat(f.backup())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return backupNone, nil
	case err != nil:
		return backupNone, err
	}
	if _, _, err := f.loadBackup(); err != nil {
		return backupDamaged, nil
	}
	return backupWhole, nil
}

// loadBackup reads the backup. A missing one, and an empty one, is an empty application without data.
func (f files) loadBackup() (*app.Config, []byte, error) {
	if info, err := f.disk.Lstat(f.backup()); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return &app.Config{}, nil, nil
	}
	return application.Read(f.disk, f.backup())
}

// is tells whether the file at path has that SHA-256.
func (f files) is(path, sum string) (bool, error) {
	found, err := f.disk.SHA256(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && found == sum, err
}

// open opens a candidate. It has to lie below the data folder, so that no service can name a file elsewhere, also not
// by a link that it changes meanwhile. If path is a folder, the file named inside in it is opened. name is the path for
// messages.
func (f files) open(path, inside string) (in file.File, name string, err error) {
	if path == "" {
		return nil, "", errors.New("must not be empty")
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(f.workdir, dataDir))
	if err != nil {
		return nil, "", err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.workdir, path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, inside)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, "", fmt.Errorf("find %s: %w", path, err)
	}
	below, err := filepath.Rel(dir, real)
	if err != nil || !filepath.IsLocal(below) {
		return nil, "", fmt.Errorf("%s is not below %s; copy it there", path, dataDir)
	}
	root, err := f.disk.Root(dir)
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	info, err := root.Stat(below)
	if err != nil {
		return nil, "", err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		return nil, "", fmt.Errorf("%s is not a file", path)
	}
	in, err = root.OpenFile(below, os.O_RDONLY, 0)
	return in, real, err
}
