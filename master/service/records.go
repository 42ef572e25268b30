package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/file"
)

// Records is the file that tells a later master what this one runs. It holds no secret, and lies in a folder that no volume
// of the documents covers: who writes it decides what the next master ends.
type Records struct {
	path string

	mu  sync.Mutex
	all map[string]engine.Record // by instance of service
}

// NewRecords returns the records at path. It reads nothing.
func NewRecords(path string) *Records {
	return &Records{path: path, all: map[string]engine.Record{}}
}

// Left reads what an earlier master wrote. A file that cannot be read is moved aside and is an error; the records are usable
// all the same.
func (r *Records) Left() ([]engine.Record, error) {
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var left []engine.Record
	if err == nil {
		err = json.Unmarshal(data, &left)
	}
	if err != nil {
		aside := r.path + ".unreadable"
		return nil, fmt.Errorf("read records of an earlier master (moved to %s): %w", aside, errors.Join(err, os.Rename(r.path, aside)))
	}
	return left, nil
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
		if err := os.Remove(r.path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	list := make([]engine.Record, 0, len(r.all))
	for _, rec := range r.all {
		list = append(list, rec)
	}
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return err
	}
	return file.WriteAtomic(r.path, append(data, '\n'), 0o600)
}
