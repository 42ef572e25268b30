// Package faultldb is a storage for goleveldb in memory, on a disk that can be made to fail at any operation and to
// forget what was not synced. It needs no root and no real disk, so a test can try every operation in turn.
//
//	d := faultldb.New()
//	d.Fail(func(op faultldb.Op) error { … })   // op.N counts from 1
//	… open d.Storage(), work, reopen …
//	d.Kill() or d.Cut()                        // the process ends; the power fails
//
// What it promises of the disk is what store/journal and goleveldb's files do: the name of a journal is durable when
// it has been created, that of a table or manifest with its sync; CURRENT and all names with SetMeta. A removed file
// may be back after Cut.
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

// The operations that can fail. A write that fails has written half.
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
	N    int // from 1, since New
	Kind Kind
	File storage.FileDesc
}

// Disk is the disk; it outlives the storages that are opened on it. Its methods may be called from any goroutine.
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

// Fail sets who decides on each operation: an error fails it. nil ends all faults. It must not call the disk.
func (d *Disk) Fail(faults func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
}

// Ops returns how many operations there have been.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Kill ends the process that has the disk open: its storage is closed, all that it wrote is there.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// Cut is a power cut: the storage is closed, and everything since the last sync is gone, of each file and of the names.
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

// begin takes the disk for an operation of a kind that can fail. If there is no error, the caller calls end.
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
