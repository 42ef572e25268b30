package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
)

// Choose returns those of downloaded, paths relative to cloud.Root, that may be removed: they neither are, nor contain,
// nor lie in one of keep, paths as the master takes them. The result is sorted.
func Choose(downloaded, keep []string) []string {
	var out []string
	for _, d := range downloaded {
		if !slices.ContainsFunc(keep, func(k string) bool { k = below(k); return k != "" && related(k, d) }) {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return out
}

// Clean removes the downloaded folders that are not related to keep, paths of volumes as the master takes them (see
// Choose). It returns the paths that are removed for good; if one can't be removed it goes on with the others, and
// returns the errors.
func (s *Store) Clean(keep []string) (removed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.settle(); err != nil {
		return nil, err
	}
	if err := s.root.RemoveAll(trash); err != nil {
		return nil, err
	}
	if err := s.root.MakeDir(trash, 0o700); err != nil {
		return nil, err
	}
	defer s.root.RemoveAll(trash) // if that fails the next start does it
	var errs []error
	for i, dir := range Choose(slices.Collect(maps.Keys(s.record.Volumes)), keep) {
		if err := s.discard(dir, trash+"/"+strconv.Itoa(i)); err != nil {
			errs = append(errs, fmt.Errorf("remove volume %s: %w", dir, err))
			continue
		}
		removed = append(removed, dir)
	}
	if len(removed) == 0 {
		return nil, errors.Join(errs...)
	}
	// After the renames, since a folder that is not in the record counts as made by hand and is never removed.
	err = s.note(func(r *record) {
		for _, dir := range removed {
			delete(r.Volumes, dir)
		}
	})
	return removed, errors.Join(append(errs, err)...)
}

// discard moves dir to another path, durably: it is not there again after a power cut.
func (s *Store) discard(dir, to string) error {
	if err := s.root.Rename(dir, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.syncParent(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
