package store

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ordered is a storage in which the sync of a journal also makes earlier journals durable. goleveldb does not sync a
// full journal when it begins the next one. So without ordered the first transactions of a batch could be lost
// although its last one, in the next journal, was synced.
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

// dirtyJournal is a journal that knows whether it has unsynced writes. goleveldb uses it, and creates the next one,
// from one goroutine at a time.
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
