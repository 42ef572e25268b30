package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxAside is how many damaged files are kept beside a file. The oldest one is removed first.
const maxAside = 3

// setAside renames the file, which is damaged because of cause, to <file>.damaged-<n>, and logs it. It returns
// ErrDamaged, or why the file could not be moved.
func (f File[T]) setAside(cause error) error {
	d := f.Disk.Or()
	dir, prefix := filepath.Dir(f.Path), filepath.Base(f.Path)+".damaged-"
	entries, err := d.ReadDir(dir)
	if err != nil {
		return f.stuck(cause, err)
	}
	var kept []int
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 && strconv.Itoa(n) == number {
			kept = append(kept, n)
		}
	}
	slices.Sort(kept)
	next := 1
	if len(kept) > 0 {
		next = kept[len(kept)-1] + 1
	}
	aside := filepath.Join(dir, prefix+strconv.Itoa(next))
	if err := d.Rename(f.Path, aside); err != nil {
		return f.stuck(cause, err)
	}
	if err := d.SyncDir(dir); err != nil {
		return f.stuck(cause, err)
	}
	for _, n := range kept[:max(0, len(kept)+1-maxAside)] {
		if err := d.RemoveAll(filepath.Join(dir, prefix+strconv.Itoa(n))); err != nil {
			f.Log.WithError(err).Warnf("an old damaged %s can't be removed; it stays", f.What)
		}
	}
	l := f.Log.WithField("file", f.Path).WithField("aside", aside).WithError(cause)
	l.Errorf("%s is damaged and was moved aside; %s", f.What, f.Then)
	return fmt.Errorf("%s: %w and was moved to %s: %w", f.What, ErrDamaged, aside, cause)
}

func (f File[T]) stuck(cause, err error) error {
	return fmt.Errorf("move damaged %s %s aside: %w", f.What, f.Path, errors.Join(err, cause))
}
