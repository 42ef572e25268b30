package sim

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// view is the disk as one process sees it: a file.FS without links and without Root.
type view struct {
	disk *Disk
	life *life
}

func sorted(names map[string]*node) []string { return slices.Sorted(maps.Keys(names)) }

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// do runs an operation with the lock of the disk.
func (v *view) do(op, name string, changes bool, f func(d *Disk) error) error {
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	err := v.disk.begin(v.life, changes)
	if err == nil {
		err = f(v.disk)
	}
	if v.disk.trace != nil && (changes || err != nil) {
		v.disk.trace(op, name, err)
	}
	return failed(op, name, err)
}

// OpenFile is part of file.FS.
func (v *view) OpenFile(name string, flag int, perm fs.FileMode) (f file.File, err error) {
	err = v.do("open", name, flag&(os.O_CREATE|os.O_TRUNC) != 0, func(d *Disk) error {
		n := d.find(name)
		switch {
		case n == nil && flag&os.O_CREATE == 0:
			return syscall.ENOENT
		case n != nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
			return syscall.EEXIST
		case n != nil && n.mode.IsDir() && flag&(os.O_WRONLY|os.O_RDWR) != 0:
			return syscall.EISDIR
		case n == nil:
			dir, base, err := d.place(name)
			if err != nil {
				return err
			}
			n = &node{mode: perm.Perm(), time: time.Now()}
			d.change(dir, base, n)
		}
		h := &handle{v: v, n: n, name: name, append: flag&os.O_APPEND != 0}
		if flag&os.O_TRUNC != 0 {
			h.resize(0)
		}
		f = h
		return nil
	})
	return f, err
}

// Mkdir is part of file.FS.
func (v *view) Mkdir(name string, perm fs.FileMode) error {
	return v.do("mkdir", name, true, func(d *Disk) error {
		dir, base, err := d.place(name)
		switch {
		case err != nil:
			return err
		case dir.live[base] != nil || d.find(name) == d.root:
			return syscall.EEXIST
		}
		d.change(dir, base, newFolder(fs.ModeDir|perm.Perm()))
		return nil
	})
}

// MkdirAll is part of file.FS; each folder that it makes is an operation.
func (v *view) MkdirAll(name string, perm fs.FileMode) error {
	if info, err := v.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if above := path.Dir(name); above != name {
		if err := v.MkdirAll(above, perm); err != nil {
			return err
		}
	}
	if err := v.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Symlink is part of file.FS; this disk has no links.
func (v *view) Symlink(_, name string) error { return failed("symlink", name, errors.ErrUnsupported) }

// Rename is part of file.FS.
func (v *view) Rename(from, to string) error {
	return v.do("rename", from, true, func(d *Disk) error {
		a, old, err := d.place(from)
		if err != nil {
			return err
		}
		b, name, err := d.place(to)
		if err != nil {
			return err
		}
		n, there := a.live[old], b.live[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case there == n:
			return nil
		case there != nil && there.mode.IsDir() && len(there.live) > 0:
			return syscall.ENOTEMPTY
		case there != nil:
			d.size -= int64(len(there.data))
		}
		delete(a.live, old)
		b.live[name] = n
		d.pending = append(d.pending, change{In: []*node{a, b}, Apply: func() {
			delete(a.durable, old)
			b.durable[name] = n
		}})
		return nil
	})
}

// Remove is part of file.FS.
func (v *view) Remove(name string) error {
	return v.do("remove", name, true, func(d *Disk) error {
		dir, base, err := d.place(name)
		if err != nil {
			return err
		}
		n := dir.live[base]
		switch {
		case n == nil:
			return syscall.ENOENT
		case len(n.live) > 0:
			return syscall.ENOTEMPTY
		}
		d.change(dir, base, nil)
		d.size -= int64(len(n.data))
		return nil
	})
}

// RemoveAll is part of file.FS; each file and folder is an operation.
func (v *view) RemoveAll(name string) error {
	info, err := v.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		var entries []fs.DirEntry
		entries, err = v.ReadDir(name)
		for _, e := range entries {
			if err := v.RemoveAll(path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	return v.Remove(name)
}

// Stat is part of file.FS.
func (v *view) Stat(name string) (out fs.FileInfo, err error) {
	err = v.do("stat", name, false, func(d *Disk) error {
		n := d.find(name)
		if n == nil {
			return syscall.ENOENT
		}
		out = n.info(path.Base(name))
		return nil
	})
	return out, err
}

// Lstat is part of file.FS.
func (v *view) Lstat(name string) (fs.FileInfo, error) { return v.Stat(name) }

// ReadDir is part of file.FS.
func (v *view) ReadDir(name string) (out []fs.DirEntry, err error) {
	err = v.do("readdir", name, false, func(d *Disk) error {
		n := d.find(name)
		switch {
		case n == nil:
			return syscall.ENOENT
		case !n.mode.IsDir():
			return syscall.ENOTDIR
		}
		for _, name := range sorted(n.live) {
			out = append(out, fs.FileInfoToDirEntry(n.live[name].info(name)))
		}
		return nil
	})
	return out, err
}

// Root is part of file.FS; this disk has none.
func (v *view) Root(dir string) (file.Root, error) {
	return nil, failed("root", dir, errors.ErrUnsupported)
}

// info is what Stat says of a node.
type info struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func (n *node) info(name string) info { return info{name, int64(len(n.data)), n.mode, n.time} }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.time }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
