//go:build unix

package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/state"
)

// ErrTaken means that another installation of this host has numbers of the range.
var ErrTaken = errors.New("another installation has numbers of this range")

// claim is a file in the HostDir, which is called like the range: who has it.
type claim struct {
	Path string `json:"path"` // working directory, without links
}

// claim records that this installation has the range, there and in its list. Each start looks again, since an
// installation may have been copied, moved or restored meanwhile. A read-only system keeps what it was made with; that
// counts all the same. Both are written before another installation looks: a claim without a list is of one that is
// gone.
func (r *Registry) claim() error {
	dir := r.opts.HostDir
	unlock := func() {}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		unlock, err = lock(dir)
	}
	readOnly := errors.Is(err, unix.EROFS)
	if err != nil && !readOnly {
		return fmt.Errorf("claim native.users: %w", err)
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil && !(readOnly && errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("claim native.users: %w", err)
	}
	if err := r.choose(dir, entries); err != nil {
		return err
	}
	if readOnly {
		r.opts.Log.Warnf("which users services have can't be recorded on this host, its file system is read-only; " +
			"a second installation here needs another native.users")
	} else {
		f := r.claimFile(filepath.Join(dir, r.opts.Users.String()))
		if err := f.Save(claim{Path: r.workdir}); err != nil {
			return fmt.Errorf("claim native.users: %w", err)
		}
	}
	r.adapt()
	return r.file.Save(r.known)
}

// choose makes sure that the range is free. Without one in the configuration it takes that of the last start, or the
// first free block: a second installation, or a copy, needs no configuration.
func (r *Registry) choose(dir string, entries []fs.DirEntry) (err error) {
	if r.opts.Users != (engine.Users{}) {
		return r.judgeAll(dir, entries)
	}
	first := r.known.Users
	for _, e := range entries { // the list may be lost
		users, err := engine.ParseUsers(e.Name())
		if err != nil {
			continue
		}
		if c, err := r.claimFile(filepath.Join(dir, e.Name())).Load(); err == nil && c.Path == r.workdir {
			first = users
		}
	}
	for _, users := range append([]engine.Users{first}, engine.UsersBlocks()...) {
		if users == (engine.Users{}) {
			continue
		}
		r.opts.Users = users
		if err = r.judgeAll(dir, entries); !errors.Is(err, ErrTaken) {
			return err
		}
	}
	return fmt.Errorf("no range of users is free on this host: %w", err)
}

// judgeAll looks at every claim of this host.
func (r *Registry) judgeAll(dir string, entries []fs.DirEntry) error {
	for _, e := range entries {
		users, err := engine.ParseUsers(e.Name())
		if err != nil {
			continue // the lock, and what a save left
		}
		if err := r.judge(filepath.Join(dir, e.Name()), users); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at the claim of the range users. One of ours that is not for our range any more, and one whose
// installation is gone, are removed; one of another installation that overlaps ours is an error.
func (r *Registry) judge(path string, users engine.Users) error {
	c, err := r.claimFile(path).Load()
	if errors.Is(err, state.ErrDamaged) {
		return nil // it is aside, and logged
	}
	if err != nil {
		return fmt.Errorf("claim native.users: %w", err)
	}
	switch mine := c.Path == r.workdir || sameFile(filepath.Join(c.Path, File), r.file.Path); {
	case mine && users == r.opts.Users:
		return nil
	case mine, gone(c.Path, users):
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("claim native.users: %w", err)
		}
		return nil
	case !users.Overlaps(r.opts.Users):
		return nil
	}
	const text = "claim native.users %s: %w: %s, by %s; write another range into etc/baetyl/conf.yml, " +
		"such as native: {users: %s}, or remove that installation"
	return fmt.Errorf(text, r.opts.Users, ErrTaken, c.Path, path, r.free(users))
}

// free proposes a range of the same size that does not overlap ours nor users.
func (r *Registry) free(users engine.Users) engine.Users {
	size := r.opts.Users.Last - r.opts.Users.First
	next := engine.Users{First: users.Last + 1, Last: users.Last + 1 + size}
	if _, err := engine.ParseUsers(next.String()); err != nil {
		next = engine.Users{First: 65536, Last: 65536 + min(size, users.First-65536-1)}
	}
	return next
}

// gone tells whether the installation at path does not use the range any more: there is none, or it has another range.
// One whose list can't be read is there.
func gone(path string, users engine.Users) bool {
	data, err := os.ReadFile(filepath.Join(path, File))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return true
	}
	var n numbers
	return err == nil && json.Unmarshal(data, &n) == nil && n.Users != (engine.Users{}) && !n.Users.Overlaps(users)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func (r *Registry) claimFile(path string) state.File[claim] {
	return state.File[claim]{
		Path: path, What: "claim of native.users", Then: "the range counts as free", Version: 1, Log: r.opts.Log,
	}
}

// lock keeps a second installation from claiming at the same time.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return func() {}, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks
}
