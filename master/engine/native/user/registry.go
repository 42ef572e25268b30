//go:build unix

// Package user gives every native service a user of its own, and every volume to those who use it.
//
//	native.users ─► claim on the host ─► a number for each service and each volume, recorded for good
//	service ─► user and group of its number
//	volume  ─► group of its number, which every service that mounts it has too
//	             one service writes it   the folder and all in it are that service's
//	             several write it        root's; the group writes
//	             none writes it          root's; the group reads
//	           others do not get in, whatever the mode of a file in it is
//
// It promises that a number is one service's as long as the installation lives, that no other installation on the host
// has it, and that giving a folder away touches nothing outside of it, whatever is in it. It starts nothing.
package user

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// File is where the numbers are, relative to the working directory.
const File = "var/db/baetyl/users.json"

// HostDir is where installations record which range they have.
const HostDir = "/var/lib/baetyl/native-users"

// ErrFull means that no number of the range is free.
var ErrFull = errors.New("all numbers of native.users are taken")

// Options are what a registry needs to know.
type Options struct {
	Workdir string       // absolute
	Users   engine.Users // native.users
	HostDir string       // empty: HostDir
	Admins  string       // name of a group that no service is ever in (server.group); empty: none
	Log     log.Logger
}

// ID is who a process runs as.
type ID struct {
	UID, GID int
	Groups   []int // beside GID
}

// Registry knows the numbers of one installation. Its methods may be called from any goroutine.
type Registry struct {
	opts    Options
	workdir string // without links

	mu     sync.Mutex // guards what follows
	file   state.File[numbers]
	known  numbers
	giving []string   // volumes that are given away now
	ended  *sync.Cond // of one of giving; on mu
}

// numbers is the content of File.
type numbers struct {
	Users    engine.Users      `json:"users"`    // the range that the numbers are from
	Services map[string]uint32 `json:"services"` // by name; those of removed services stay, as their files do
	Volumes  map[string]uint32 `json:"volumes"`  // by path
	Given    map[string]given  `json:"given"`    // by path
}

// Open claims the range for this installation and reads its numbers. The error of a range that another installation has
// says what to do. It is for root alone.
func Open(o Options) (*Registry, error) {
	workdir, err := filepath.EvalSymlinks(o.Workdir)
	if err != nil {
		return nil, fmt.Errorf("open users of services: %w", err)
	}
	if o.HostDir == "" {
		o.HostDir = HostDir
	}
	r := &Registry{opts: o, workdir: workdir}
	r.ended = sync.NewCond(&r.mu)
	r.file = state.File[numbers]{
		Path: filepath.Join(workdir, File), What: "list of users of services", Version: 1, Log: o.Log,
		Then: "services get the same numbers again where no other has them, and their volumes are given to them anew",
	}
	err = r.file.Tidy()
	if err == nil {
		r.known, err = r.file.Load()
	}
	if err != nil && !errors.Is(err, state.ErrDamaged) {
		return nil, err
	}
	if err := r.claim(); err != nil {
		return nil, err
	}
	return r, nil
}

// adapt drops what is not of the range, after native.users was changed: those services and volumes get other numbers.
func (r *Registry) adapt() {
	n := numbers{Users: r.opts.Users, Services: map[string]uint32{}, Volumes: map[string]uint32{}, Given: r.known.Given}
	for name, id := range r.known.Services {
		if n.Users.Contains(id) {
			n.Services[name] = id
		}
	}
	for path, id := range r.known.Volumes {
		if n.Users.Contains(id) {
			n.Volumes[path] = id
		}
	}
	if n.Given == nil {
		n.Given = map[string]given{}
	}
	r.known = n
}

// Service returns the user of a service, the same for all time.
func (r *Registry) Service(name string) (ID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.number(r.known.Services, "service "+name, name)
	if err != nil {
		return ID{}, err
	}
	return ID{UID: int(n), GID: int(n)}, nil
}

// Volume returns the group of a volume, by the absolute path of its folder without links. Every service that mounts the
// volume needs it.
func (r *Registry) Volume(path string) (gid int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.number(r.known.Volumes, "volume "+path, r.key(path))
	return int(n), err
}

// number finds or chooses one. The choice depends on the name, so that it is nearly always the same when the list of
// those before is lost.
func (r *Registry) number(in map[string]uint32, what, name string) (uint32, error) {
	if n, ok := in[name]; ok {
		return n, nil
	}
	taken := map[uint32]bool{}
	for _, m := range []map[string]uint32{r.known.Services, r.known.Volumes} {
		for _, n := range m {
			taken[n] = true
		}
	}
	size := r.opts.Users.Last - r.opts.Users.First + 1
	h := fnv.New32a()
	_, _ = h.Write([]byte(what))
	for i := range size {
		n := r.opts.Users.First + (h.Sum32()%size+i)%size
		if taken[n] || onHost(n) {
			continue
		}
		in[name] = n
		if err := r.file.Save(r.known); err != nil {
			delete(in, name)
			return 0, fmt.Errorf("give %s a number: %w", what, err)
		}
		return n, nil
	}
	const text = "give %s a number: %w, by services and volumes that are or were here; make the range %s larger"
	return 0, fmt.Errorf(text, what, ErrFull, r.opts.Users)
}

// onHost tells whether the host has given the number to somebody.
func onHost(n uint32) bool {
	id := strconv.FormatUint(uint64(n), 10)
	if _, err := user.LookupId(id); err == nil {
		return true
	}
	_, err := user.LookupGroupId(id)
	return err == nil
}

// key is how a path stands in the list: relative, so that the installation can be moved.
func (r *Registry) key(path string) string {
	if rel, err := filepath.Rel(r.workdir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
