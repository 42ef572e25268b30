package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/utils/file"
)

// RestoreOptions say what a restore may do.
type RestoreOptions struct {
	Workdir string // absolute, of a master that does not run: the caller holds its lock
	Force   bool   // what is there is moved aside; otherwise it has to be empty
	DryRun  bool   // only say what would happen
}

// Restored is what a restore has done.
type Restored struct {
	Manifest Manifest
	Aside    string   // name of the folders that what was there is in now, beside it; empty: nothing was there
	Warnings []string // for people
}

// Errors of a restore.
var (
	ErrOccupied = errors.New("there is an application already")
	errOtherNow = errors.New("it has changed while it was read")
)

// Restore makes the device of which archive is a backup. Everything in archive is verified before anything is touched;
// what was there is moved aside, never removed. A restore that was interrupted is found by the next one, or by the next
// start of the master: Recover.
func Restore(archive io.ReadSeeker, o RestoreOptions) (Restored, error) {
	m, err := Verify(archive)
	if err != nil {
		return Restored{}, err
	}
	if !o.DryRun {
		if err := Recover(o.Workdir); err != nil {
			return Restored{}, err
		}
	}
	out := Restored{Manifest: m, Warnings: warnings(m)}
	t, err := plan(o.Workdir, m)
	if err != nil {
		return Restored{}, err
	}
	if t.occupied() && !o.Force {
		return Restored{}, fmt.Errorf("%w in %s; --force moves what is there aside", ErrOccupied, o.Workdir)
	}
	if t.moves() {
		out.Aside = t.state.Aside
	}
	if err := t.fits(m); err != nil || o.DryRun {
		return out, err
	}
	if err := t.unpack(archive, m); err != nil {
		return Restored{}, errors.Join(err, t.undo())
	}
	fault.At("restore unpacked")
	t.state.Moving = true
	if err := t.save(); err != nil {
		return Restored{}, errors.Join(err, t.undo())
	}
	fault.At("restore begun")
	return out, t.finish()
}

// warnings are what a person should know before the device is another one.
func warnings(m Manifest) (out []string) {
	if here := platform(); m.Platform != here {
		const text = "the backup is of %s, this device is %s: programs in it do not run here; install them anew"
		out = append(out, fmt.Sprintf(text, m.Platform, here))
	}
	for _, l := range m.LeftOut {
		out = append(out, fmt.Sprintf("%s is not in the backup: %s", l.Path, l.Why))
	}
	return out
}

// target is a restore in a working directory.
type target struct {
	workdir string
	state   progress
	roots   map[string]string // of the manifest, to where they are: links in their names are followed
}

// plan says what a restore moves. It changes nothing.
func plan(workdir string, m Manifest) (*target, error) {
	stamp := time.Now().UTC().Format("20060102-150405.000")
	t := &target{workdir: workdir, roots: map[string]string{}, state: progress{Aside: asidePrefix + stamp}}
	has := map[string]bool{}
	byRoot := map[string][]string{} // names right below it
	for _, e := range m.Entries {
		has[e.Path] = true
		byRoot[filepath.Dir(e.Path)] = append(byRoot[filepath.Dir(e.Path)], filepath.Base(e.Path))
	}
	for _, r := range m.Roots {
		at, err := resolve(workdir, r)
		if err != nil {
			return nil, err
		}
		t.roots[r] = at
		if r != confDir && r != dataDir { // a volume: as a whole
			if err := t.add(unit{filepath.Dir(at), filepath.Base(at), has[r]}); err != nil {
				return nil, err
			}
			continue
		}
		names := byRoot[r]
		list, err := os.ReadDir(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
		slices.Sort(names)
		for _, n := range slices.Compact(names) {
			if stays(filepath.Join(r, n)) {
				continue
			}
			if err := t.add(unit{at, n, has[filepath.Join(r, n)]}); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// stays tells whether a restore leaves what is at the path: it is of this host, or of a restore.
func stays(path string) bool {
	p := pass{}
	return filepath.Base(path) == "lost+found" || p.excluded(path) != ""
}

// add adds what is, or comes, at a place. It refuses what no rename can move.
func (t *target) add(u unit) error {
	path := u.at()
	info, err := os.Lstat(path)
	above, err2 := os.Stat(existing(u.Dir))
	if err == nil && err2 == nil && info.IsDir() && device(info) != device(above) {
		return fmt.Errorf("%s is the place of another file system, which cannot be moved aside; unmount it, restore, copy "+
			"what is in the folder then to that file system, and mount it again", path)
	}
	t.state.Units = append(t.state.Units, u)
	return nil
}

// occupied tells whether a device is there already.
func (t *target) occupied() bool {
	for _, u := range t.state.Units {
		if there(u.at()) && u.Dir == t.roots[dataDir] && u.Name == "application.yml" {
			return true
		}
	}
	return false
}

// moves tells whether anything is moved aside.
func (t *target) moves() bool {
	return slices.ContainsFunc(t.state.Units, func(u unit) bool { return there(u.at()) })
}

// fits tells whether the disks have room.
func (t *target) fits(m Manifest) error {
	need := map[string]uint64{}
	for _, e := range m.Entries {
		for r, at := range t.roots {
			if within(r, e.Path) {
				need[existing(at)] += uint64(e.Size) + 4096
			}
		}
	}
	for dir, n := range need {
		if free, err := file.Free(dir); err == nil && free < n {
			return fmt.Errorf("it needs %d bytes in %s, and %d are free; free some. Nothing has been touched", n, dir, free)
		}
	}
	return nil
}

// existing is dir, or the first folder above it that is there.
func existing(dir string) string {
	for dir != filepath.Dir(dir) && !there(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

// resolve returns where a root is, with the links in its name followed as far as it is there.
func resolve(workdir, root string) (string, error) {
	path := filepath.Join(workdir, root)
	at := existing(path)
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", fmt.Errorf("%s leads nowhere; mend the link, or remove it: %w", at, err)
	}
	return filepath.Join(real, path[len(at):]), nil
}

// unpack puts the files of the backup beside those that are there, durably.
func (t *target) unpack(archive io.ReadSeeker, m Manifest) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := t.save(); err != nil { // from here on there is something to remove
		return err
	}
	u := &unpacker{t: t, owner: owners(m.Mode), files: map[string]Entry{}, done: map[string]bool{}}
	defer u.close()
	if err := u.folders(m); err != nil {
		return err
	}
	again, err := scan(archive, u.file)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(again, m) {
		return errOtherNow
	}
	if err := u.finish(m); err != nil {
		return err
	}
	for _, dir := range t.stages() {
		if err := file.SyncTree(filepath.Join(dir, stageDir)); err != nil {
			return err
		}
		if err := file.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// there tells whether something is at path.
func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev) //nolint:unconvert // its type differs from system to system
	}
	return 0
}
