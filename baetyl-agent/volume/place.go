package volume

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// place renames stagedNew, which is durable, to dir. A power failure leaves one of these states, which settle ends:
//
//	record.Placing  stagedNew  stagedOld  dir      what settle does
//	set             yes        no         old, or  the rename counts as not done; dir stays
//	                                      none
//	set             yes        yes        none     the rename counts as not done; stagedOld goes back to dir
//	set             no         any        new      the rename counts as done: dir is in the record
//	not set         any        any        any      nothing; recover removes the stage
func (s *Store) place(dir string, m app.VolumeMeta) error {
	if err := s.root.MkdirAll(path.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := s.syncAbove(dir); err != nil {
		return err
	}
	p := &placing{Path: dir, Entry: newEntry(m)}
	if err := s.note(func(r *record) { r.Placing = p }); err != nil {
		return err
	}
	err := s.swap(dir)
	if settled := s.settle(); settled != nil {
		return settled
	}
	return err
}

func (s *Store) swap(dir string) error {
	if _, err := s.root.Lstat(dir); err == nil {
		if err := s.root.Rename(dir, stagedOld); err != nil {
			return err
		}
	}
	return s.root.Rename(stagedNew, dir)
}

// settle ends the rename that the record names: it counts as done, or the previous folder is put back (see place). If
// settle fails the record still has the rename, and the next method or start calls it again.
func (s *Store) settle() error {
	p := s.record.Placing
	if p == nil {
		return nil
	}
	waiting, err := s.exists(stagedNew)
	if err != nil {
		return err
	}
	there, err := s.exists(p.Path)
	if err != nil {
		return err
	}
	if !there {
		if err := s.root.Rename(stagedOld, p.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.syncParent(p.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = s.note(func(r *record) {
		r.Placing = nil
		if waiting || !there {
			return
		}
		for dir := range r.Volumes {
			if strings.HasPrefix(dir, p.Path+"/") { // was removed with the old folder
				delete(r.Volumes, dir)
			}
		}
		r.Volumes[p.Path] = p.Entry
	})
	if err != nil {
		return err
	}
	return s.root.RemoveAll(stage)
}

func (s *Store) exists(name string) (bool, error) {
	_, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// syncParent makes the entry of p durable.
func (s *Store) syncParent(p string) error { return s.root.SyncDir(path.Dir(p)) }

// syncAbove makes the entries of p and of all folders above it durable: the process that made them may have been killed
// before it did that.
func (s *Store) syncAbove(p string) error {
	for p != "." {
		p = path.Dir(p)
		if err := s.root.SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}
