package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/utils/file"
)

// Storage is goleveldb's storage in a folder of a disk. The sync of a table or a manifest includes its name, as it
// expects of a manifest and the hub's storage does for tables; a journal's name is durable before its first write.
func Storage(d file.Disk, dir string) (storage.Storage, error) {
	if err := d.MakeDir(dir, 0o700); err != nil {
		return nil, err
	}
	return &database{d: d, dir: dir}, nil
}

// database is a storage of goleveldb. Each of its files is one of the disk, named as goleveldb names them.
type database struct {
	d   file.Disk
	dir string

	mu     sync.Mutex
	locked bool
	closed bool
}

// Lock implements storage.Storage.
func (s *database) Lock() (storage.Locker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked {
		return nil, storage.ErrLocked
	}
	s.locked = true
	return s, nil
}

// Unlock implements storage.Locker.
func (s *database) Unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = false
}

// Log implements storage.Storage.
func (s *database) Log(string) {}

func (s *database) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return storage.ErrClosed
	}
	return nil
}

func (s *database) path(fd storage.FileDesc) string { return path.Join(s.dir, fd.String()) }

// The files that name the manifest: as goleveldb's own storage has them, the one before is kept. So a SetMeta that
// fails when the new name is there already, and whose manifest goleveldb removes, leaves something to start from.
const (
	current = "CURRENT"
	before  = "CURRENT.bak"
)

// SetMeta implements storage.Storage.
func (s *database) SetMeta(fd storage.FileDesc) error {
	if err := s.open(); err != nil {
		return err
	}
	content := fd.String() + "\n"
	old, err := s.d.ReadFile(path.Join(s.dir, current))
	switch {
	case err == nil && string(old) == content:
		return nil
	case err == nil:
		if err := s.d.WriteAtomic(path.Join(s.dir, before), old, 0o600); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return s.d.WriteAtomic(path.Join(s.dir, current), []byte(content), 0o600)
}

// GetMeta implements storage.Storage.
func (s *database) GetMeta() (fd storage.FileDesc, err error) {
	if fd, err = s.meta(current); err == nil {
		return fd, nil
	}
	if old, oldErr := s.meta(before); oldErr == nil {
		return old, nil
	}
	return fd, err
}

func (s *database) meta(name string) (storage.FileDesc, error) {
	data, err := s.d.ReadFile(path.Join(s.dir, name))
	if err != nil {
		return storage.FileDesc{}, err
	}
	fd, ok := parse(strings.TrimSpace(string(data)))
	if !ok {
		return fd, &storage.ErrCorrupted{Err: errors.New(name + " has no name of a manifest")}
	}
	_, err = s.d.Stat(s.path(fd))
	return fd, err
}

// parse is the inverse of FileDesc.String.
func parse(name string) (fd storage.FileDesc, ok bool) {
	var tail string
	if n, _ := fmt.Sscanf(name, "MANIFEST-%d", &fd.Num); n == 1 {
		fd.Type = storage.TypeManifest
		return fd, true
	}
	if n, _ := fmt.Sscanf(name, "%d.%s", &fd.Num, &tail); n != 2 {
		return fd, false
	}
	fd.Type = map[string]storage.FileType{
		"log": storage.TypeJournal, "ldb": storage.TypeTable, "tmp": storage.TypeTemp,
	}[tail]
	return fd, fd.Type != 0
}

// List implements storage.Storage.
func (s *database) List(types storage.FileType) (list []storage.FileDesc, err error) {
	entries, err := s.d.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if fd, ok := parse(e.Name()); ok && fd.Type&types != 0 {
			list = append(list, fd)
		}
	}
	return list, nil
}

// Open implements storage.Storage.
func (s *database) Open(fd storage.FileDesc) (storage.Reader, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	f, err := s.d.OpenFile(s.path(fd), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.ErrNotExist
	}
	return f, err
}

// Create implements storage.Storage.
func (s *database) Create(fd storage.FileDesc) (storage.Writer, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	f, err := s.d.OpenFile(s.path(fd), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if fd.Type == storage.TypeJournal {
		if err := s.d.SyncDir(s.dir); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return writer{f, s}, nil
}

// writer is a file of goleveldb that is being written.
type writer struct {
	file.File
	s *database
}

// Sync implements storage.Syncer.
func (w writer) Sync() error {
	if err := w.File.Sync(); err != nil {
		return err
	}
	return w.s.d.SyncDir(w.s.dir)
}

// Remove implements storage.Storage.
func (s *database) Remove(fd storage.FileDesc) error {
	if err := s.open(); err != nil {
		return err
	}
	return s.d.Remove(s.path(fd))
}

// Rename implements storage.Storage.
func (s *database) Rename(from, to storage.FileDesc) error {
	if err := s.open(); err != nil {
		return err
	}
	return s.d.Rename(s.path(from), s.path(to))
}

// Close implements storage.Storage.
func (s *database) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return storage.ErrClosed
	}
	s.closed = true
	return nil
}
