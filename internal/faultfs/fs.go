package faultfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/baetyl/baetyl/utils/file"
)

// FS is the disk of one run of a test. Its methods may be called from any goroutine.
type FS struct {
	view
	t     testing.TB
	dir   string
	fault Fault

	mu      sync.Mutex // held during each operation
	on      bool       // between Start and Reboot
	off     bool       // the process has ended
	met     bool       // the fault has come
	ops     []Op
	root    *node
	pending []Change[*node]
}

// New returns a disk whose folder is a temporary one of t.
func New(t testing.TB, f Fault) *FS {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &FS{t: t, dir: dir, fault: f}
	d.view = view{disk: d, real: file.OS}
	return d
}

// Disk returns what the tested code works on.
func (d *FS) Disk() file.Disk { return file.Disk{FS: d} }

// Dir returns the folder that the disk knows. What lies elsewhere is served without faults.
func (d *FS) Dir() string { return d.dir }

// Fault returns the fault of this run.
func (d *FS) Fault() Fault { return d.fault }

// Met tells whether the fault has come.
func (d *FS) Met() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.met
}

// Ops returns what was done since Start.
func (d *FS) Ops() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Start counts operations from here. What is in the folder is durable.
func (d *FS) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.on, d.ops, d.pending, d.root = true, nil, nil, adopt(d.dir)
}

// Reboot ends the process, if the fault is of that kind, and leaves in the folder what is durable: from here on this
// disk returns ErrOff, and the next process works on file.OS. After other faults the disk works again.
func (d *FS) Reboot() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.on {
		return
	}
	d.on = false
	if !d.fault.Kind.Ends() {
		return
	}
	d.off, d.met = true, true
	if d.fault.Kind == Kill {
		return
	}
	if err := d.root.restore(d.dir, d.pending, d.fault.Kind); err != nil {
		d.t.Fatalf("faultfs: %s", err)
	}
}

// meet counts an operation and returns how it fails. Called with mu.
func (d *FS) meet(n need, op, path string) error {
	if d.off {
		return &fs.PathError{Op: op, Path: path, Err: ErrOff}
	}
	if !d.on || !d.knows(path) {
		return nil
	}
	d.ops = append(d.ops, Op{Name: op + " " + label(path), need: n})
	if len(d.ops) < d.fault.N || d.fault.N == 0 || len(d.ops) > d.fault.N && d.fault.Kind != Full || !n.can(d.fault.Kind) {
		return nil
	}
	d.met = true
	var err error
	switch d.fault.Kind {
	case Error:
		err = fmt.Errorf("faultfs: %w", syscall.EIO)
	case NoSpace, Full, Short:
		err = errFull
	default:
		d.off = true
		err = ErrOff
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// label is the name of a file as tests show it: random digits differ from run to run.
func label(path string) string {
	name := filepath.Base(path)
	if i := strings.LastIndexByte(name, '.'); i > 0 && name[0] == '.' && strings.Trim(name[i+1:], "0123456789") == "" {
		return name[:i] + ".N"
	}
	return name
}

func (d *FS) knows(path string) bool {
	return path == d.dir || strings.HasPrefix(path, d.dir+string(filepath.Separator))
}

// find returns the node at path, nil when there is none or the model is off. Called with mu.
func (d *FS) find(path string) *node {
	if !d.on || !d.knows(path) {
		return nil
	}
	n, at := d.root, d.dir
	rest, _ := filepath.Rel(d.dir, path)
	if rest == "." {
		return n
	}
	for _, name := range strings.Split(rest, string(filepath.Separator)) {
		if n = n.child(at, name); n == nil {
			return nil
		}
		at = filepath.Join(at, name)
	}
	return n
}

// parent returns the node of the folder that holds path; nil as find.
func (d *FS) parent(path string) *node { return d.find(filepath.Dir(path)) }

// pend notes a change of folders.
func (d *FS) pend(apply func(), in ...*node) { d.pending = append(d.pending, Change[*node]{in, apply}) }

// put enters a new node at path.
func (d *FS) put(path string, n *node) {
	if dir, name := d.parent(path), filepath.Base(path); dir != nil {
		dir.live[name] = n
		d.pend(func() { dir.durable[name] = n }, dir)
	}
}

// take removes the entry of path.
func (d *FS) take(path string) {
	if dir, name := d.parent(path), filepath.Base(path); dir != nil {
		delete(dir.live, name)
		d.pend(func() { delete(dir.durable, name) }, dir)
	}
}

// move renames.
func (d *FS) move(from, to string, n *node) {
	a, b, old, name := d.parent(from), d.parent(to), filepath.Base(from), filepath.Base(to)
	if a == nil || b == nil || n == nil {
		return
	}
	delete(a.live, old)
	b.live[name] = n
	d.pend(func() { delete(a.durable, old); b.durable[name] = n }, a, b)
}

// view is the disk as the names in one folder show it: of the process, or of a Root.
type view struct {
	disk *FS
	real file.FS
	base string // of a Root
}

// path returns the absolute path of name without links in its folders.
func (v view) path(name string) string {
	if v.base != "" || !filepath.IsAbs(name) {
		name = filepath.Join(v.base, name)
	}
	name, err := filepath.Abs(name)
	if err != nil {
		panic(err) // no working directory
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		return filepath.Join(dir, filepath.Base(name))
	}
	return name
}

// OpenFile is part of file.FS.
func (v view) OpenFile(name string, flag int, perm fs.FileMode) (file.File, error) {
	d, path := v.disk, v.path(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	_, err := os.Lstat(path)
	create := flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist)
	n, op := reads, "open"
	switch {
	case create:
		n, op = space, "create"
	case flag&os.O_TRUNC != 0:
		n, op = changes, "truncate"
	}
	if err := d.meet(n, op, path); err != nil {
		return nil, err
	}
	at := d.find(path) // before it is changed
	if flag&(os.O_WRONLY|os.O_RDWR) == os.O_WRONLY {
		flag = flag&^os.O_WRONLY | os.O_RDWR // Sync reads
	}
	f, err := v.real.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if create {
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		at = &node{mode: info.Mode()}
		d.put(path, at)
	} else if flag&os.O_TRUNC != 0 && at != nil {
		at.dirty = true
	}
	return &handle{File: f, disk: d, path: path, at: at}, nil
}

// Mkdir is part of file.FS.
func (v view) Mkdir(name string, perm fs.FileMode) error {
	d, path := v.disk, v.path(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.meet(space, "mkdir", path); err != nil {
		return err
	}
	if err := v.real.Mkdir(name, perm); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil {
		d.put(path, &node{mode: info.Mode(), live: map[string]*node{}, durable: map[string]*node{}})
	}
	return nil
}

// MkdirAll is part of file.FS; each folder that it makes is an operation.
func (v view) MkdirAll(name string, perm fs.FileMode) error {
	if info, err := v.real.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(name); above != name {
		if err := v.MkdirAll(above, perm); err != nil {
			return err
		}
	}
	if err := v.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return v.real.MkdirAll(name, perm) // is there; says so if it is no folder
}

// Symlink is part of file.FS.
func (v view) Symlink(target, name string) error {
	d, path := v.disk, v.path(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.meet(space, "link", path); err != nil {
		return err
	}
	if err := v.real.Symlink(target, name); err != nil {
		return err
	}
	d.put(path, &node{mode: fs.ModeSymlink | 0o777, data: []byte(target)})
	return nil
}

// Rename is part of file.FS.
func (v view) Rename(from, to string) error {
	d, a, b := v.disk, v.path(from), v.path(to)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.meet(space, "rename to", b); err != nil {
		return err
	}
	n := d.find(a)
	d.find(b) // so that what is there counts as durable
	if err := v.real.Rename(from, to); err != nil {
		return err
	}
	d.move(a, b, n)
	return nil
}

// Remove is part of file.FS.
func (v view) Remove(name string) error {
	d, path := v.disk, v.path(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.meet(changes, "remove", path); err != nil {
		return err
	}
	d.find(path)
	if err := v.real.Remove(name); err != nil {
		return err
	}
	d.take(path)
	return nil
}

// RemoveAll is part of file.FS; each file and folder is an operation.
func (v view) RemoveAll(name string) error {
	info, err := v.real.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		var entries []fs.DirEntry
		entries, err = v.real.ReadDir(name)
		for _, e := range entries {
			if err := v.RemoveAll(filepath.Join(name, e.Name())); err != nil {
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
func (v view) Stat(name string) (fs.FileInfo, error) {
	if err := v.read("stat", name); err != nil {
		return nil, err
	}
	return v.real.Stat(name)
}

// Lstat is part of file.FS.
func (v view) Lstat(name string) (fs.FileInfo, error) {
	if err := v.read("stat", name); err != nil {
		return nil, err
	}
	return v.real.Lstat(name)
}

// ReadDir is part of file.FS.
func (v view) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := v.read("list", name); err != nil {
		return nil, err
	}
	return v.real.ReadDir(name)
}

func (v view) read(op, name string) error {
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	return v.disk.meet(reads, op, v.path(name))
}

// Root is part of file.FS.
func (v view) Root(dir string) (file.Root, error) {
	path := v.path(dir)
	if err := v.read("open", dir); err != nil {
		return nil, err
	}
	real, err := v.real.Root(dir)
	if err != nil {
		return nil, err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return rooted{view{disk: v.disk, real: real, base: path}, real}, nil
}

type rooted struct {
	view
	root file.Root
}

func (r rooted) Close() error { return r.root.Close() }
