package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ordered is a storage in which the sync of a journal also makes earlier journals durable. goleveldb does not sync a
// full journal when it begins the next one. So without ordered the first transactions of a batch could be lost
// although its last one, in the next journal, was synced.
//
// It also keeps goleveldb from two faults on a disk that fails twice: a table that it can neither finish nor remove
// makes it panic when it tries again; and a manifest that CURRENT names already, though SetMeta has failed, is removed
// or written anew, so that the database has no start any more.
type ordered struct {
	storage.Storage
	mu   sync.Mutex
	last *dirtyJournal
}

// Create implements storage.Storage.
func (o *ordered) Create(fd storage.FileDesc) (storage.Writer, error) {
	if fd.Type == storage.TypeManifest && o.named(fd) {
		return nil, fmt.Errorf("create %s: the database begins with it", fd)
	}
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

// Remove implements storage.Storage. What can't be removed is removed when the database is opened next.
func (o *ordered) Remove(fd storage.FileDesc) error {
	if fd.Type != storage.TypeManifest || !o.named(fd) {
		_ = o.Storage.Remove(fd)
	}
	return nil
}

// named tells whether the database may begin with the manifest.
func (o *ordered) named(fd storage.FileDesc) bool {
	current, err := o.GetMeta()
	return current == fd || err != nil && !errors.Is(err, fs.ErrNotExist)
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
