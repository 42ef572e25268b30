package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/file"
)

// record says what was downloaded to where. It is written before and after each change of a folder, so that it can tell after
// a crash on which side of the rename the power failed.
type record struct {
	Volumes map[string]entry `json:"volumes"` // by path relative to Dir
	Placing *placing         `json:"placing,omitempty"`
}

// entry is the package that a folder holds.
type entry struct {
	MD5     string    `json:"md5"`    // base64
	SHA256  string    `json:"sha256"` // hex
	Version string    `json:"version,omitempty"`
	Time    time.Time `json:"time"`
}

// placing is a rename of stagedNew to Path that is under way. It is done when stagedNew is gone.
type placing struct {
	Path  string `json:"path"`
	Entry entry  `json:"entry"`
}

func newEntry(m app.VolumeMeta) entry {
	return entry{MD5: m.MD5, SHA256: m.SHA256, Version: m.Version, Time: time.Now().UTC()}
}

// holds tells whether the package is the one that m asks for, by all digests that m gives.
func (e entry) holds(m app.VolumeMeta) bool {
	return (m.MD5 != "" || m.SHA256 != "") && (m.MD5 == "" || m.MD5 == e.MD5) && (m.SHA256 == "" || strings.EqualFold(m.SHA256, e.SHA256))
}

// place renames stagedNew to dir. What was there before is gone only when the new one is there.
func (s *Store) place(dir string, m app.VolumeMeta) error {
	e := newEntry(m)
	if err := s.root.MkdirAll(path.Dir(dir), 0o755); err != nil {
		return err
	}
	s.record.Placing = &placing{Path: dir, Entry: e}
	if err := s.save(); err != nil {
		s.record.Placing = nil
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
	if err := s.root.Rename(stagedNew, dir); err != nil {
		return err
	}
	return s.syncParent(dir)
}

// settle ends the rename that the record names: it counts as done, or what was there before is put back.
func (s *Store) settle() error {
	p := s.record.Placing
	if p == nil {
		return nil
	}
	if _, err := s.root.Lstat(stagedNew); errors.Is(err, fs.ErrNotExist) {
		for dir := range s.record.Volumes {
			if strings.HasPrefix(dir, p.Path+"/") { // went with the old folder
				delete(s.record.Volumes, dir)
			}
		}
		s.record.Volumes[p.Path] = p.Entry
	} else if err != nil {
		return err
	} else if _, err := s.root.Lstat(p.Path); errors.Is(err, fs.ErrNotExist) {
		if err := s.root.Rename(stagedOld, p.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.makeDurable(p.Path); err != nil {
		return err
	}
	s.record.Placing = nil
	if err := s.save(); err != nil {
		return err
	}
	return s.root.RemoveAll(stage)
}

// makeDurable syncs the folder that holds p, if there is one.
func (s *Store) makeDurable(p string) error {
	if err := s.syncParent(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recover brings folders and record together after a start.
func (s *Store) recover() error {
	if err := file.Tidy(filepath.Join(s.Dir, recordFile)); err != nil {
		return err
	}
	s.record.Volumes = map[string]entry{}
	data, err := s.root.ReadFile(recordFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(data, &s.record); err != nil {
			// Written atomically: this is not a crash. Without the record nothing is replaced or removed, which is safe.
			s.Log.WithError(err).Errorf("record of volumes is damaged and begins anew")
			s.record = record{}
		}
		if s.record.Volumes == nil {
			s.record.Volumes = map[string]entry{}
		}
	}
	for p := range s.record.Volumes {
		if !valid(p) {
			delete(s.record.Volumes, p)
		}
	}
	if p := s.record.Placing; p != nil && !valid(p.Path) {
		s.record.Placing = nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.root.RemoveAll(stage); err != nil {
		return err
	}
	return s.root.RemoveAll(trash)
}

// valid tells whether p is a path that Ensure could have recorded.
func valid(p string) bool {
	dir, err := (cloud.Volume{Path: cloud.Root + "/" + p}).Dir()
	return err == nil && dir == p
}

func (s *Store) save() error {
	data, err := json.MarshalIndent(s.record, "", "  ")
	if err == nil {
		err = file.WriteAtomic(filepath.Join(s.Dir, recordFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write record of volumes: %w", err)
	}
	return nil
}
