package update

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// stagedFile is the record of the images of an update, beside the one in use. It is written after the backup of the
// application, and removed before the backup is put back. So without a backup it is that of the application in place.
const stagedFile = engine.ImagesFile + ".new"

// record is the record of the images, staged that of an update.
func (f files) record(l log.Logger) state.File[engine.Images] {
	return engine.NewImagesFile(filepath.Join(f.workdir, engine.ImagesFile), f.disk, l)
}

func (f files) staged(l log.Logger) state.File[engine.Images] {
	s := engine.NewImagesFile(filepath.Join(f.workdir, stagedFile), f.disk, l)
	s.What = "record of the images of an update"
	return s
}

// isStaged tells whether there is a record of an update.
func (f files) isStaged() (bool, error) {
	_, err := f.disk.Lstat(filepath.Join(f.workdir, stagedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// promote puts the record of an update that was committed in place of the one before. It does nothing without one.
func (f files) promote() error {
	there, err := f.isStaged()
	if err == nil && there {
		err = f.disk.Rename(filepath.Join(f.workdir, stagedFile), filepath.Join(f.workdir, engine.ImagesFile))
	}
	if err == nil && there {
		err = f.disk.SyncDir(filepath.Dir(filepath.Join(f.workdir, stagedFile)))
	}
	return err
}

// unstage removes the record of an update, durably: otherwise a power cut could bring it back without the backup.
func (f files) unstage() error {
	there, err := f.isStaged()
	if err == nil && there {
		err = f.disk.Remove(filepath.Join(f.workdir, stagedFile))
	}
	if err == nil && there {
		err = f.disk.SyncDir(filepath.Dir(filepath.Join(f.workdir, stagedFile)))
	}
	return err
}

// images returns the record that belongs to the application that was read from data: without a backup a staged one is
// committed. One that is not certain to be of that application is unsure.
func (d disk) images(data []byte) engine.Images {
	file := d.files.record(d.log)
	if there, err := d.files.isStaged(); there || err != nil {
		file = d.files.staged(d.log)
	}
	out, err := file.Load()
	if err != nil && !errors.Is(err, state.ErrDamaged) { // which is logged
		d.log.WithError(err).Warnf("cannot read which images the application has; %s", file.Then)
	}
	if sum := digest(data); out.App != sum {
		out.App, out.Unsure = sum, true
		if err == nil && len(data) > 0 {
			d.log.Infof("there is no record of the images of this application; %s", file.Then)
		}
	}
	return out
}

// next is the record of an application whose names mean is; before is that of the one that runs.
func next(data []byte, before engine.Images, is map[string]engine.Image) engine.Images {
	return engine.Images{App: digest(data), Running: is, Previous: maps.Clone(before.Running)}
}

// settleImages puts a committed record in its place, once the update has its final line: until then that one says how
// an update ended whose application.yml is the one before.
func (d disk) settleImages() {
	if _, s, err := d.readState(); err != nil || s != Idle && s != Ended {
		return
	}
	if err := d.files.promote(); err != nil {
		d.log.WithError(err).Warnf("the record of the images stays beside its place; the next start or update moves it")
	}
}

// Kept returns the application that is kept for a rollback, nil when there is none. It may be called from any
// goroutine.
func (u *Updater) Kept() (*app.Config, error) {
	c, data, err := u.files.loadBackup()
	if err != nil || data == nil {
		return nil, err
	}
	return c, nil
}
