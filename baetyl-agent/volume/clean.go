package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
)

// Choose returns those of downloaded, paths relative to cloud.Root, that can go: they neither are, nor contain, nor
// lie in one of keep, paths as the master takes them. The order of the lists does not matter.
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

// Clean removes the folders that were downloaded and that keep, paths of volumes as the master takes them, does not
// need. It returns the paths that are gone for good; one that can't be removed does not keep the others.
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
	defer s.root.RemoveAll(trash) // what is left is removed at the next start
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
	// Only now, since a folder that the record does not know counts as made by hand: it would never be removed.
	err = s.note(func(r *record) {
		for _, dir := range removed {
			delete(r.Volumes, dir)
		}
	})
	return removed, errors.Join(append(errs, err)...)
}

// discard moves dir away, so that it does not come back after a power cut.
func (s *Store) discard(dir, to string) error {
	if err := s.root.Rename(dir, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.syncParent(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
