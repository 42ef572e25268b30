package volume

import (
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/state"
)

// record says which package was downloaded into which folder. It is written before and after each rename, so that a
// start after a crash can tell whether the rename was done.
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

// placing is a rename of stagedNew to Path that has started. It is done when stagedNew is gone.
type placing struct {
	Path  string `json:"path"`
	Entry entry  `json:"entry"`
}

func newEntry(m app.VolumeMeta) entry {
	return entry{MD5: m.MD5, SHA256: m.SHA256, Version: m.Version, Time: time.Now().UTC()}
}

// holds tells whether the package has all digests that m gives, of which there must be one.
func (e entry) holds(m app.VolumeMeta) bool {
	return (m.MD5 != "" || m.SHA256 != "") && (m.MD5 == "" || m.MD5 == e.MD5) &&
		(m.SHA256 == "" || strings.EqualFold(m.SHA256, e.SHA256))
}

func (r record) clone() record {
	r.Volumes = maps.Clone(r.Volumes)
	return r
}

// note changes the record on disk and then in memory. After an error it is unchanged in memory; on disk it is the old
// or the new one.
func (s *Store) note(change func(*record)) error {
	next := s.record.clone()
	change(&next)
	if err := s.file.Save(next); err != nil {
		return err
	}
	s.record = next
	return nil
}

// load reads the record. If it is damaged the store starts with an empty one: then nothing is replaced or removed.
func (s *Store) load() (err error) {
	if err := s.Disk.Tidy(s.file.Path); err != nil {
		return err
	}
	if s.record, err = s.file.Load(); err != nil && !errors.Is(err, state.ErrDamaged) {
		return err
	}
	if s.record.Volumes == nil {
		s.record.Volumes = map[string]entry{}
	}
	for p := range s.record.Volumes {
		if !valid(p) {
			delete(s.record.Volumes, p)
		}
	}
	if p := s.record.Placing; p != nil && !valid(p.Path) {
		s.record.Placing = nil
	}
	return nil
}
