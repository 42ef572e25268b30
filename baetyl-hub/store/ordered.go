package store

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ordered is a storage in which the sync of a journal says that all that was written to earlier journals is safe,
// too. goleveldb leaves a full journal without a sync, and so the first transactions of a batch whose last one, in
// the next journal, is synced.
type ordered struct {
	storage.Storage
	mu   sync.Mutex
	last *dirtyJournal
}

// Create implements storage.Storage.
func (o *ordered) Create(fd storage.FileDesc) (storage.Writer, error) {
	if fd.Type != storage.TypeJournal {
		return o.Storage.Create(fd)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last != nil {
		if err := o.last.Sync(); err != nil { // goleveldb closes it afterwards
			return nil, err
		}
		o.last = nil
	}
	w, err := o.Storage.Create(fd)
	if err != nil {
		return nil, err
	}
	o.last = &dirtyJournal{Writer: w}
	return o.last, nil
}

// dirtyJournal knows whether it has something to sync. goleveldb uses it, and creates the next, from one goroutine at
// a time.
type dirtyJournal struct {
	storage.Writer
	dirty bool
}

// Write implements io.Writer.
func (j *dirtyJournal) Write(p []byte) (int, error) {
	j.dirty = true
	return j.Writer.Write(p)
}

// Sync implements storage.Syncer.
func (j *dirtyJournal) Sync() error {
	if !j.dirty {
		return nil
	}
	err := j.Writer.Sync()
	j.dirty = err != nil
	return err
}
