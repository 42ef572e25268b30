package service

import (
	"errors"
	"slices"
	"sync"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Records is the file that tells a later master what this one runs. It holds no secret. It lies in a folder that no
// volume should contain: a process that can write it decides what the next master ends.
type Records struct {
	file state.File[[]engine.Record]

	mu  sync.Mutex
	all map[string]engine.Record // by instance of service
}

// NewRecords returns the records in the file at path of disk, by default that of this machine. It reads nothing. What
// is wrong with the file is logged to l.
func NewRecords(path string, disk file.Disk, l log.Logger) *Records {
	return &Records{all: map[string]engine.Record{}, file: state.File[[]engine.Record]{
		Path:    path,
		What:    "list of running instances",
		Then:    "instances of an earlier master may still run",
		Version: 1,
		Disk:    disk,
		Log:     l,
	}}
}

// Left reads what an earlier master wrote. The records are usable also after an error: state.ErrDamaged when the file
// has been moved aside.
func (r *Records) Left() ([]engine.Record, error) {
	left, err := r.file.Load()
	err = errors.Join(err, r.file.Tidy())
	// A master from before the file had a version takes its first line for a record, and writes that again.
	return slices.DeleteFunc(left, func(rec engine.Record) bool { return rec.Engine == "" }), err
}

func (r *Records) put(rec engine.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[rec.Service+"\x00"+rec.Instance] = rec
	return r.write()
}

func (r *Records) remove(rec engine.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, rec.Service+"\x00"+rec.Instance)
	return r.write()
}

// Reset forgets what an earlier master wrote, after it has been dealt with; keep stays.
func (r *Records) Reset(keep []engine.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = map[string]engine.Record{}
	for _, rec := range keep {
		r.all[rec.Service+"\x00"+rec.Instance] = rec
	}
	return r.write()
}

// write replaces the file; without records there is none.
func (r *Records) write() error {
	if len(r.all) == 0 {
		return r.file.Remove()
	}
	list := make([]engine.Record, 0, len(r.all))
	for _, rec := range r.all {
		list = append(list, rec)
	}
	return r.file.Save(list)
}
