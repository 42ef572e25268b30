//go:build unix

package user

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/baetyl/baetyl/master/engine"
)

// Settled is what a service that mounts a volume has to know of it.
type Settled struct {
	GID      int  // group that the service needs; 0: none
	Shared   bool // several services write it: what they make is to be writable by the group (umask 002)
	Warnings []string
}

// Access is what the group of a volume may do, beside its owner.
type Access int

// What a group may do. Private changes no mode: nobody but the owner is in the group, and some programs want keys that
// no group reads.
const (
	Private Access = iota
	Read
	Write
)

// owner is what a folder and all in it are to have.
type owner struct {
	uid, gid int
	group    Access
}

// given is a folder that has been given to its owner.
type given struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	UID   int    `json:"uid"`
	GID   int    `json:"gid"`
	Group Access `json:"group"`
}

// mastersDirs hold what is not one service's, relative to the working directory: they are given to nobody.
var mastersDirs = []string{"bin", "lib", "etc/baetyl", "var/run", "var/log/baetyl", "var/db/baetyl"}

const dataDir = "var/db/baetyl"

// Settle gives the volume at path (a folder or a file, absolute, without links) to those who use it, once: when its
// folder is new here, or its owner is another than before. It walks through a folder only then, and logs how much it
// has changed. A folder with files of the master stays as it is; to write into one that is not the data of all services
// is an error, but for root, and so is to write or own what lies in such a folder.
func (r *Registry) Settle(path string, u engine.Use) (Settled, error) {
	if err := r.settles(path, u); err != nil || r.masters(path) != "" {
		return Settled{}, err
	}
	o, err := r.owner(path, u)
	if err != nil {
		return Settled{}, fmt.Errorf("give volume %s away: %w", path, err)
	}
	out := Settled{GID: o.gid, Shared: o.group == Write}
	out.Warnings, err = r.Give(path, o.uid, o.gid, o.group)
	return out, err
}

// CheckVolume says why Settle would refuse a volume. It opens and changes nothing.
func CheckVolume(o Options, path string, u engine.Use) error {
	workdir, err := filepath.EvalSymlinks(o.Workdir)
	if err != nil {
		return fmt.Errorf("find working directory: %w", err)
	}
	return (&Registry{opts: o, workdir: workdir}).settles(path, u)
}

// settles says why a volume is given to nobody.
func (r *Registry) settles(path string, u engine.Use) error {
	if dir := r.masters(path); dir != "" {
		return r.writeMasters(path, dir, u.Writers)
	}
	dir := r.inMasters(path)
	if dir == "" {
		return nil
	}
	takers := u.Writers
	if u.Owner != (engine.Member{}) {
		takers = append(slices.Clone(takers), u.Owner)
	}
	return r.writeMasters(path, dir, takers)
}

// writeMasters judges that writers write into path, which has the master's folder dir.
func (r *Registry) writeMasters(path, dir string, writers []engine.Member) error {
	if within(filepath.Join(r.workdir, dataDir), path) {
		return nil // the agent; the engine sees to it
	}
	for _, w := range writers {
		id, err := ID{UID: -1}, error(nil) // a number of its own, whichever that is
		if w.User != "" {
			id, err = r.Named(w.User)
		}
		if err == nil && id.UID != 0 {
			const text = "it has files of the master, or is one of them (%s); take a folder of its own in var/db/baetyl, " +
				"mount it readonly, or write user: root"
			err = fmt.Errorf(text, dir)
		}
		if err != nil {
			return fmt.Errorf("give volume %s to %s: %w", path, cmp.Or(w.Service, w.User), err)
		}
	}
	return nil
}

// owner decides who owns a volume. Who writes it and is not its owner does so by the group.
func (r *Registry) owner(path string, u engine.Use) (owner, error) {
	gid, err := r.Volume(path)
	if err != nil {
		return owner{}, err
	}
	who := u.Owner
	if who == (engine.Member{}) && len(u.Writers) == 1 {
		who = u.Writers[0]
	}
	o := owner{gid: gid}
	if who != (engine.Member{}) { // else root
		id, err := r.ID(who)
		if err != nil {
			return owner{}, err
		}
		o.uid = id.UID
	}
	another := func(m engine.Member) bool { return m != who }
	switch {
	case slices.ContainsFunc(u.Writers, another):
		o.group = Write
	case slices.ContainsFunc(u.Readers, another):
		o.group = Read
	}
	return o, nil
}

// ID returns who a service runs as: the user that it names, or its own.
func (r *Registry) ID(m engine.Member) (ID, error) {
	if m.User != "" {
		return r.Named(m.User)
	}
	return r.Service(m.Service)
}

// masters returns the folder of the master that path is or contains; empty: none.
func (r *Registry) masters(path string) string {
	for _, dir := range mastersDirs {
		if within(r.real(dir), path) {
			return dir
		}
	}
	return ""
}

// inMasters returns the folder of the master that path lies in; empty: none. In the data folder the files are the
// master's, as application.yml, and the folders are volumes.
func (r *Registry) inMasters(path string) string {
	for _, dir := range mastersDirs {
		switch real := r.real(dir); {
		case dir != dataDir && within(path, real):
			return dir
		case dir == dataDir && filepath.Dir(path) == real:
			if info, err := os.Lstat(path); err == nil && !info.IsDir() {
				return dir
			}
		}
	}
	return ""
}

// real is the absolute path of a folder of the master, without links as far as it exists.
func (r *Registry) real(dir string) string {
	path := filepath.Join(r.workdir, dir)
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	return path
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Give sets the owner of the folder or file at path, which is absolute and without links, and of all in it. It does
// so once: later calls with the same owner find it recorded and touch nothing but the group of path itself, as long
// as it is the same folder. Others get no access; the group has what it is to have. No link is followed. Left alone,
// and named in warnings: what has a second name (a hard link, which may be that of a file outside), devices, other
// file systems, and what cannot be changed.
func (r *Registry) Give(path string, uid, gid int, group Access) (warnings []string, err error) {
	defer r.begin(path)()
	top, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("give %s away: %w", path, err)
	}
	defer top.close()
	now := given{Dev: top.id.dev, Ino: top.id.ino, UID: uid, GID: gid, Group: group}
	key := r.key(path)
	before, others := r.given(key)
	if before == now && top.uid == uid && top.gid == gid || top.readOnly() {
		return nil, nil // whoever made a read-only file system has decided
	}
	w := walk{owner: owner{uid, gid, group}, skip: others}
	// The service has changed the group of its own folder. With another owner, or as root's, it may be a new folder that
	// has the number of the old one: services cannot change that.
	if before == now && top.uid == uid && uid != 0 {
		if err := w.top(top); err != nil {
			return nil, fmt.Errorf("give %s away: %w", path, err)
		}
		return w.warnings(path), nil
	}
	if err := r.record(key, given{}); err != nil { // until the walk is done
		return nil, fmt.Errorf("give %s away: %w", path, err)
	}
	if err := w.give(top); err != nil {
		return nil, fmt.Errorf("give %s away: %w", path, err)
	}
	if w.changed > 1 { // a new folder alone is not worth a line
		r.opts.Log.WithField("volume", path).WithField("files", w.changed).
			Infof("files of a volume now belong to user %d, group %d", uid, gid)
	}
	if err := r.record(key, now); err != nil {
		return nil, fmt.Errorf("give %s away: %w", path, err)
	}
	return w.warnings(path), nil
}

// begin waits until no volume that contains path, or lies in it, is given away, and keeps others from it until end is
// called. Other volumes go on meanwhile: a large one takes long.
func (r *Registry) begin(path string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for slices.ContainsFunc(r.giving, func(p string) bool { return within(p, path) || within(path, p) }) {
		r.ended.Wait()
	}
	r.giving = append(r.giving, path)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.Index(r.giving, path)
		r.giving = slices.Delete(r.giving, i, i+1)
		r.ended.Broadcast()
	}
}

// given returns what is recorded of a volume, and the folders of the others.
func (r *Registry) given(key string) (g given, others map[inode]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	others = map[inode]bool{}
	for k, o := range r.known.Given {
		if k != key {
			others[inode{o.Dev, o.Ino}] = true
		}
	}
	return r.known.Given[key], others
}

// record replaces what is recorded of a volume, the zero value by nothing, and forgets folders that are gone.
func (r *Registry) record(key string, g given) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, was := r.known.Given[key]
	delete(r.known.Given, key)
	if g != (given{}) {
		r.known.Given[key] = g
	}
	if !was && g == old {
		return nil
	}
	r.forget()
	return r.file.Save(r.known)
}

func (r *Registry) forget() {
	for key := range r.known.Given {
		path := key
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.workdir, path)
		}
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			delete(r.known.Given, key)
		}
	}
}
