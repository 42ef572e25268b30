package file

import (
	"io"
	"io/fs"
	"os"
)

// FS is where files lie: the disk, a folder of it that nothing leads out of (Root), or a disk with faults
// (internal/faultfs). Names and errors are those of package os.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error) // also of a folder, to Sync its entries
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error // makes nothing durable, Disk.MakeDir does
	Symlink(target, name string) error            // name leads to target, as it is written
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error) // sorted by name

	// Root opens the folder dir, which exists. Its names are relative to dir, and no name or link gets out of it.
	Root(dir string) (Root, error)
}

// File is an open file, as *os.File is.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error // -1 leaves it
	Truncate(size int64) error
	Sync() error
}

// Root is a folder; the kernel keeps its names inside.
type Root interface {
	FS
	io.Closer
}

// OS is the disk of this machine: what the functions of this package work on.
var OS = Disk{disk{}}

// Disk is a FS with what the functions of this package do. One without a FS is not usable; see Or.
type Disk struct{ FS }

// Or returns d, or OS if d has no FS, as in options that name none.
func (d Disk) Or() Disk {
	if d.FS == nil {
		return OS
	}
	return d
}

type disk struct{}

func (disk) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return opened(os.OpenFile(name, flag, perm))
}
func (disk) Mkdir(name string, perm fs.FileMode) error    { return os.Mkdir(name, perm) }
func (disk) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }
func (disk) Symlink(target, name string) error            { return os.Symlink(target, name) }
func (disk) Rename(from, to string) error                 { return os.Rename(from, to) }
func (disk) Remove(name string) error                     { return os.Remove(name) }
func (disk) RemoveAll(name string) error                  { return os.RemoveAll(name) }
func (disk) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (disk) Lstat(name string) (fs.FileInfo, error)       { return os.Lstat(name) }
func (disk) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }
func (disk) Root(dir string) (Root, error)                { return rooted(os.OpenRoot(dir)) }

type (
	osRoot = os.Root // so that its name is not that of a method
	root   struct{ *osRoot }
)

func (r root) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return opened(r.osRoot.OpenFile(name, flag, perm))
}
func (r root) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.FS(), name) }
func (r root) Root(dir string) (Root, error)              { return rooted(r.OpenRoot(dir)) }

// opened keeps a nil *os.File from becoming a File that is not nil.
func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func rooted(r *os.Root, err error) (Root, error) {
	if err != nil {
		return nil, err
	}
	return root{r}, nil
}
