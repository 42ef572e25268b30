package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// What a restore makes.
const (
	stateFile   = dataDir + "/restore.json" // there while a restore is not finished
	stageDir    = ".baetyl-restore"         // with the folders new and old, in each folder in which something is replaced
	asidePrefix = "before-restore-"         // and the time: what was there
)

// progress is what a restore that is interrupted leaves for the next one. While files are unpacked it can be undone, by
// removing what is new; when it moves, it can only be finished.
type progress struct {
	Moving bool   `json:"moving"`
	Aside  string `json:"aside"`
	Units  []unit `json:"units"`
}

// unit is something that is replaced with one rename, or with two.
type unit struct {
	Dir  string `json:"dir"` // absolute
	Name string `json:"name"`
	New  bool   `json:"new"` // the backup has it
}

func (u unit) at() string  { return filepath.Join(u.Dir, u.Name) }
func (u unit) new() string { return filepath.Join(u.Dir, stageDir, "new", u.Name) }
func (u unit) old() string { return filepath.Join(u.Dir, stageDir, "old", u.Name) }

func record(workdir string) state.File[progress] {
	return state.File[progress]{
		Path: filepath.Join(workdir, stateFile), What: "record of the restore", Version: 1, Log: log.Discard(),
		Then: "the restore counts as not begun",
	}
}

// Interrupted tells whether a restore has not been finished in workdir. It changes nothing.
func Interrupted(workdir string) bool { return there(filepath.Join(workdir, stateFile)) }

// Recover ends a restore that was interrupted in workdir: one that had begun to move files is finished, another one
// undone. Without one it does nothing. The caller holds the lock of workdir.
func Recover(workdir string) error {
	if !Interrupted(workdir) {
		return nil
	}
	p, err := record(workdir).Load()
	if err != nil {
		return fmt.Errorf("end the restore that was interrupted: %w", err)
	}
	t := &target{workdir: workdir, state: p}
	if p.Moving {
		err = t.finish()
	} else {
		err = t.undo()
	}
	if err != nil {
		return fmt.Errorf("end the restore that was interrupted: %w", err)
	}
	return nil
}

func (t *target) save() error { return record(t.workdir).Save(t.state) }

// stages are the folders in which something is replaced.
func (t *target) stages() (out []string) {
	for _, u := range t.state.Units {
		out = append(out, u.Dir)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// undo removes what was unpacked.
func (t *target) undo() error {
	var err error
	for _, dir := range t.stages() {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, stageDir)))
	}
	if err != nil {
		return err
	}
	return record(t.workdir).Remove()
}

// finish moves what was there aside, and what is new in its place. It can be interrupted, and called again, at any
// point.
func (t *target) finish() error {
	for _, u := range t.state.Units {
		if err := u.swap(); err != nil {
			return fmt.Errorf("replace %s: %w; do it again, it goes on where it was", u.at(), err)
		}
	}
	for _, dir := range t.stages() {
		if err := file.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	fault.At("restore placed")
	for _, dir := range t.stages() {
		if err := t.clear(dir); err != nil {
			return err
		}
	}
	return record(t.workdir).Remove()
}

// swap replaces one unit. What it finds says how far it was.
func (u unit) swap() error {
	comes := there(u.new())
	if u.New && !comes { // it is in its place
		return nil
	}
	if there(u.at()) && !there(u.old()) {
		if err := os.MkdirAll(filepath.Dir(u.old()), 0o700); err != nil {
			return err
		}
		if err := os.Rename(u.at(), u.old()); err != nil {
			return err
		}
		fault.At("restore aside")
	}
	if !comes {
		return nil
	}
	err := os.Rename(u.new(), u.at())
	fault.At("restore moved")
	return err
}

// clear keeps what was there in its own folder, and removes the rest of the restore in dir.
func (t *target) clear(dir string) error {
	stage := filepath.Join(dir, stageDir)
	if old := filepath.Join(stage, "old"); there(old) {
		if err := os.Rename(old, filepath.Join(dir, t.state.Aside)); err != nil {
			return err
		}
		fault.At("restore cleared")
	}
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	return file.SyncDir(dir)
}
