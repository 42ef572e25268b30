// Package faultldb is a simulated disk for goleveldb, in memory, for tests. It can fail at any operation, and it can
// lose everything that was not synced, so a test can let each operation fail, one after the other.
//
//	d := faultldb.New()
//	d.Fail(func(op faultldb.Op) error { … })   // op.N counts from 1
//	… open d.Storage(), work, reopen …
//	d.Kill() or d.Cut()                        // the process ends; the power fails
//
// Names are as durable as with baetyl-hub/store/journal: the name of a journal when it is created, the name of a
// table or manifest with its sync, CURRENT and all names with SetMeta. A removed file may be there again after Cut.
package faultldb

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Kind is what an operation does.
type Kind string

// The operations that can fail. A failed write has written half of its data.
const (
	Open   Kind = "open"
	Create Kind = "create"
	Write  Kind = "write"
	Sync   Kind = "sync"
	Rename Kind = "rename" // also of CURRENT
	Remove Kind = "remove"
)

// Op is an operation that is about to be done.
type Op struct {
	N    int // its number since New; the first one is 1
	Kind Kind
	File storage.FileDesc
}

// Disk is the disk. Its content stays when a storage on it is closed. Its methods may be called from any goroutine.
type Disk struct {
	mu     sync.Mutex
	now    names // as a process sees them
	safe   names // as they are after a power cut
	open   *files
	ops    int
	faults func(Op) error
}

// names is a folder.
type names struct {
	files map[storage.FileDesc]*content
	meta  storage.FileDesc // CURRENT
}

// content is a file. It only grows.
type content struct {
	data []byte
	safe int // bytes of data that are synced
}

// New returns an empty disk without faults.
func New() *Disk {
	return &Disk{now: names{files: map[storage.FileDesc]*content{}}, safe: names{files: map[storage.FileDesc]*content{}}}
}

// Fail sets the function that decides about each operation: if it returns an error, the operation fails with that
// error. faults must not call the disk. With nil all operations succeed.
func (d *Disk) Fail(faults func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
}

// Ops returns the number of operations since New.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Kill simulates the end of the process that has the disk open: its storage is closed, and all that it wrote is kept.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// Cut simulates a power cut: the storage is closed, and data and names that were not synced are lost.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
	d.now = names{files: map[storage.FileDesc]*content{}, meta: d.safe.meta}
	for fd, f := range d.safe.files {
		f.data = f.data[:f.safe:f.safe]
		d.now.files[fd] = f
	}
}

// Storage opens the disk. As with real files, one storage can be open at a time.
func (d *Disk) Storage() (storage.Storage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		return nil, errors.New("the disk is open already")
	}
	d.open = &files{d: d}
	return d.open, nil
}

// files is a storage that is open.
type files struct{ d *Disk }

// begin locks the disk and counts an operation. The caller must unlock d.mu if err is nil, and also after a write that
// fails with an error of Fail.
func (s *files) begin(kind Kind, fd storage.FileDesc) (d *Disk, err error) {
	d = s.d
	d.mu.Lock()
	if d.open != s {
		d.mu.Unlock()
		return d, storage.ErrClosed
	}
	d.ops++
	if d.faults != nil {
		if err = d.faults(Op{d.ops, kind, fd}); err != nil && kind != Write {
			d.mu.Unlock()
		}
	}
	return d, err
}

// Lock implements storage.Storage.
func (s *files) Lock() (storage.Locker, error) { return s, nil }

// Unlock implements storage.Locker.
func (s *files) Unlock() {}

// Log implements storage.Storage.
func (s *files) Log(string) {}

// SetMeta implements storage.Storage.
func (s *files) SetMeta(fd storage.FileDesc) error {
	d, err := s.begin(Rename, fd)
	if err != nil {
		return err
	}
	defer d.mu.Unlock()
	d.now.meta = fd
	d.safe = names{files: maps.Clone(d.now.files), meta: fd}
	return nil
}

// GetMeta implements storage.Storage.
func (s *files) GetMeta() (storage.FileDesc, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	fd := s.d.now.meta
	if s.d.now.files[fd] == nil {
		return fd, os.ErrNotExist
	}
	return fd, nil
}

// List implements storage.Storage.
func (s *files) List(types storage.FileType) (list []storage.FileDesc, err error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for fd := range s.d.now.files {
		if fd.Type&types != 0 {
			list = append(list, fd)
		}
	}
	return list, nil
}

// Open implements storage.Storage.
func (s *files) Open(fd storage.FileDesc) (storage.Reader, error) {
	d, err := s.begin(Open, fd)
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	f := d.now.files[fd]
	if f == nil {
		return nil, os.ErrNotExist
	}
	return reader{bytes.NewReader(f.data)}, nil
}

type reader struct{ *bytes.Reader }

// Close implements io.Closer.
func (reader) Close() error { return nil }

// Create implements storage.Storage.
func (s *files) Create(fd storage.FileDesc) (storage.Writer, error) {
	d, err := s.begin(Create, fd)
	if err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	f := &content{}
	d.now.files[fd] = f
	if fd.Type == storage.TypeJournal {
		d.safe.files[fd] = f
	}
	return &writer{s, fd, f}, nil
}

// Remove implements storage.Storage.
func (s *files) Remove(fd storage.FileDesc) error {
	d, err := s.begin(Remove, fd)
	if err != nil {
		return err
	}
	defer d.mu.Unlock()
	if d.now.files[fd] == nil {
		return os.ErrNotExist
	}
	delete(d.now.files, fd)
	return nil
}

// Rename implements storage.Storage.
func (s *files) Rename(from, to storage.FileDesc) error {
	d, err := s.begin(Rename, from)
	if err != nil {
		return err
	}
	defer d.mu.Unlock()
	f := d.now.files[from]
	if f == nil {
		return os.ErrNotExist
	}
	delete(d.now.files, from)
	d.now.files[to] = f
	return nil
}

// Close implements storage.Storage.
func (s *files) Close() error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.open != s {
		return storage.ErrClosed
	}
	s.d.open = nil
	return nil
}

type writer struct {
	s  *files
	fd storage.FileDesc
	f  *content
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	d, err := w.s.begin(Write, w.fd)
	if errors.Is(err, storage.ErrClosed) {
		return 0, err
	}
	defer d.mu.Unlock()
	n := len(p)
	if err != nil {
		n /= 2
	}
	w.f.data = append(w.f.data, p[:n]...)
	return n, err
}

// Sync implements storage.Syncer.
func (w *writer) Sync() error {
	d, err := w.s.begin(Sync, w.fd)
	if err != nil {
		return err
	}
	defer d.mu.Unlock()
	w.f.safe = len(w.f.data)
	d.safe.files[w.fd] = w.f
	return nil
}

// Close implements io.Closer.
func (w *writer) Close() error { return nil }
