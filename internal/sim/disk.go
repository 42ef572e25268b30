// Package sim is a world for tests that a seed decides: a disk that forgets what was not synced, and a network whose
// connections are slow or break. All of it lives in memory, works in a bubble of testing/synctest and takes its chance
// from one seed, so that a run can be repeated.
//
//	rnd := sim.Rand(seed, 0)
//	disk, network := sim.NewDisk(rnd), sim.NewNet(rnd)
//	open what is tested on disk.Open() and disk.Storage(dir); serve the server's ends of network.Pair
//	disk.Kill() or disk.Cut()        // the process ends; the power fails
//	open it again
package sim

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/utils/file"
)

// Rand is a source of chance: the n-th of a seed.
func Rand(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// ErrOff is what the files of a process return after its end.
var ErrOff = errors.New("sim: the process has ended")

// sector is how much of a file a disk writes at once: a power cut leaves all of it or nothing, in bytes.
const sector = 512

// Disk is a disk with folders and files. Its methods may be called from any goroutine.
//
// Model of durability, as internal/faultfs has it: what is in a file is durable after Sync of the file, its name after
// Sync of the folder that holds it; names become durable in the order in which they were made, and a rename as a whole.
// Of what is not durable a power cut leaves what chance says: each write whole, in part or not at all. A Sync that
// fails leaves in doubt what it was to make durable, and a later Sync does not make up for it, as with Linux.
type Disk struct {
	mu      sync.Mutex
	rnd     *rand.Rand
	root    *node
	pending []change // of names, not durable
	life    *life    // of the process that has the disk
	size    int64    // bytes of all files
	limit   int64    // of size; 0: none
	errors  float64  // how many of the operations that change something fail with EIO: 0 to 1
	ops     int
	last    int    // the operation before which the process ends; 0: none
	ended   func() // called then
	delay   func(path string) time.Duration
	trace   func(op, path string, err error)
}

// life is one process; files that it has opened end with it.
type life struct{ over bool }

// change is one of names that is not durable.
type change = faultfs.Change[*node]

// node is a folder or a file.
type node struct {
	mode fs.FileMode
	time time.Time

	live    map[string]*node // of a folder
	durable map[string]*node

	data  []byte // of a file, as processes see it
	safe  []byte // what is durable
	dirty []edit // made since the last sync
}

// edit is a write to a file, or a new size.
type edit struct {
	at   int64
	data []byte // nil: the file has the size at
}

func (e edit) apply(b []byte) []byte {
	end := e.at + int64(len(e.data))
	if e.data == nil && end < int64(len(b)) {
		return b[:end]
	}
	if n := end - int64(len(b)); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	copy(b[e.at:], e.data)
	return b
}

// NewDisk returns an empty disk.
func NewDisk(rnd *rand.Rand) *Disk {
	return &Disk{rnd: rnd, root: newFolder(fs.ModeDir | 0o755), life: &life{}}
}

func newFolder(mode fs.FileMode) *node {
	return &node{mode: mode, time: time.Now(), live: map[string]*node{}, durable: map[string]*node{}}
}

// Open returns the disk as the process sees it that runs now.
func (d *Disk) Open() file.Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return file.Disk{FS: &view{d, d.life}}
}

// Delay sets how long a Sync of a file takes. It must not hold a sync.Mutex of others for which the caller's goroutine
// keeps a lock: time in a bubble stands still while a goroutine waits for one.
func (d *Disk) Delay(f func(path string) time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = f
}

// Trace sets a function that is told each operation that changes something, or fails. It must not use the disk.
func (d *Disk) Trace(f func(op, path string, err error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace = f
}

// Limit sets how many bytes all files may have; 0: no limit.
func (d *Disk) Limit(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = bytes
}

// Errors sets how many of the operations that change something fail with EIO, from 0 to 1.
func (d *Disk) Errors(share float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errors = share
}

// Size returns the bytes of all files.
func (d *Disk) Size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// Memory returns the bytes that the disk takes in the memory of this process, about.
func (d *Disk) Memory() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root.memory(map[*node]bool{})
}

func (n *node) memory(seen map[*node]bool) int64 {
	if n == nil || seen[n] {
		return 0
	}
	seen[n] = true
	sum := int64(cap(n.data) + cap(n.safe))
	for _, e := range n.dirty {
		sum += int64(cap(e.data))
	}
	for _, below := range []map[string]*node{n.live, n.durable} {
		for _, c := range below {
			sum += c.memory(seen)
		}
	}
	return sum
}

// Free returns the bytes that are left, for store.Options.FreeSpace.
func (d *Disk) Free(string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.limit == 0 {
		return 1 << 40, nil
	}
	return uint64(max(0, d.limit-d.size)), nil
}

// KillAfter ends the process before its n-th operation from now that changes something; then ended is called, with the
// disk's lock held. Kill or Cut has to follow.
func (d *Disk) KillAfter(n int, ended func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.ended = d.ops+n, ended
}

// Kill ends the process that has the disk. Everything that it did stays.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
}

func (d *Disk) end() {
	d.life.over = true
	d.life = &life{}
	d.last, d.ended = 0, nil
}

// find returns the node at name, nil if there is none.
func (d *Disk) find(name string) *node {
	n := d.root
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if part == "" {
			continue
		}
		if n = n.live[part]; n == nil {
			return nil
		}
	}
	return n
}

// place returns the folder that holds name, and the name in it.
func (d *Disk) place(name string) (*node, string, error) {
	name = path.Clean("/" + name)
	dir := d.find(path.Dir(name))
	switch {
	case dir == nil:
		return nil, "", syscall.ENOENT
	case !dir.mode.IsDir():
		return nil, "", syscall.ENOTDIR
	}
	return dir, path.Base(name), nil
}

// change enters n as name into dir, or removes name if n is nil.
func (d *Disk) change(dir *node, name string, n *node) {
	set := func(in map[string]*node) {
		if n == nil {
			delete(in, name)
			return
		}
		in[name] = n
	}
	set(dir.live)
	d.pending = append(d.pending, change{In: []*node{dir}, Apply: func() { set(dir.durable) }})
}

// grow counts bytes that files get or lose, and refuses them where the disk is full.
func (d *Disk) grow(n int64) error {
	if n > 0 && d.limit > 0 && d.size+n > d.limit {
		return syscall.ENOSPC
	}
	d.size += n
	return nil
}

// begin is the start of an operation of the process l; changes tells that it changes something. Called with mu.
func (d *Disk) begin(l *life, changes bool) error {
	if l.over {
		return ErrOff
	}
	if !changes {
		return nil
	}
	d.ops++
	if d.last != 0 && d.ops >= d.last {
		ended := d.ended
		d.end()
		ended()
		return ErrOff
	}
	if d.errors > 0 && d.rnd.Float64() < d.errors {
		return syscall.EIO
	}
	return nil
}
