package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Sizes of file systems in memory.
const (
	emptyOptions = "mode=0755,size=1m,nr_inodes=1k" // a folder that holds what is bound below it
	tmpOptions   = "mode=1777,size=25%,nr_inodes=128k"
)

const coverFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC // of a folder that holds what is bound below it

// view is the tree of files as the program will see it, while it is changed. Sources are opened before the first
// change, so that one can be shown again below a folder that is replaced.
type view struct {
	spec    Spec
	changes []change
	covers  []string // folders that were replaced by empty ones, made read-only at the end
	tmp     []string // the same, which stay writable
	bound   []string // targets so far
	nothing handle   // lies over files that are hidden; /dev may be hidden itself
}

// change is a mount at one place. The outer ones come first.
type change struct {
	target string
	order  int // of changes at the same depth: hide after bind, and after that what has to stay writable
	what   string
	do     func() error
}

func makeMounts(spec Spec) error {
	if !spec.mounts() {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // of this thread
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	if spec.PrivateIPC {
		if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
			return fmt.Errorf("create a namespace for shared memory: %w", err)
		}
	}
	unix.Umask(0o022) // of this thread, too, since then
	// Later mounts of the host still appear here; mounts made here do not appear on the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach from the mounts of the host: %w", err)
	}
	v := &view{spec: spec}
	if err := v.plan(); err != nil {
		return err
	}
	slices.SortStableFunc(v.changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(depth(a.target), depth(b.target)), cmp.Compare(a.order, b.order))
	})
	for _, c := range v.changes {
		if err := c.do(); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	for _, dir := range v.covers {
		if err := v.seal(dir); err != nil {
			return fmt.Errorf("make %s read-only: %w", dir, err)
		}
	}
	if spec.ReadOnlyRoot {
		if err := protectRoot(); err != nil {
			return fmt.Errorf("make / read-only: %w", err)
		}
	}
	if spec.HideProc {
		return hideProc()
	}
	return nil
}

// plan opens all sources and lists what is to be done.
func (v *view) plan() error {
	if v.spec.PrivateTmp {
		if err := v.planTmp(); err != nil {
			return err
		}
	}
	if v.spec.PrivateIPC {
		if err := v.planIPC(); err != nil {
			return err
		}
	}
	binds := slices.Clone(v.spec.Binds)
	for _, p := range v.spec.ReadOnly {
		binds = append(binds, Bind{Source: p, Target: p, ReadOnly: true})
	}
	var hidden []string
	for _, p := range v.spec.Hidden {
		to, ok, err := resolve(p)
		if err != nil {
			return fmt.Errorf("hide %s: %w", p, err)
		}
		if ok {
			hidden = append(hidden, to)
		}
	}
	for _, b := range binds {
		source, err := open(b.Source)
		if err != nil {
			return fmt.Errorf("bind %s: %w", b.Source, err)
		}
		v.add(b.Target, 1, "bind "+b.Source+" at "+b.Target, func() error { return v.bind(source, b) })
		for _, h := range hidden {
			if b.Target != b.Source && h != b.Source && within(h, b.Source) { // it would be seen at the new place
				v.hide(b.Target + strings.TrimPrefix(h, b.Source))
			}
		}
	}
	for _, h := range hidden {
		v.hide(h)
	}
	if len(hidden) == 0 {
		return nil
	}
	var err error
	if v.nothing, err = open("/dev/null"); err != nil {
		return fmt.Errorf("hide files: %w", err)
	}
	return nil
}

func (v *view) add(target string, order int, what string, do func() error) {
	v.changes = append(v.changes, change{target, order, what, do})
}

// hide puts something empty over path.
func (v *view) hide(path string) {
	v.add(path, 2, "hide "+path, func() error {
		place, err := open(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // below a folder that is hidden
			return nil
		}
		if err != nil {
			return err
		}
		defer place.close()
		mode, err := place.mode()
		switch {
		case err != nil:
			return err
		case mode == unix.S_IFDIR:
			return v.cover(path)
		}
		return unix.Mount(v.nothing.path(), place.path(), "", unix.MS_BIND, "")
	})
}

// cover replaces a folder by an empty one.
func (v *view) cover(dir string) error {
	v.covers = append(v.covers, dir)
	return mount("tmpfs", dir, "tmpfs", coverFlags, emptyOptions)
}

// seal makes a folder read-only that cover has made.
func (v *view) seal(dir string) error {
	err := mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|coverFlags, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another one lies over it
	}
	return err
}

// bind shows source at the target of b.
func (v *view) bind(source handle, b Bind) error {
	defer source.close()
	closed, err := closedTo(v.spec, b.Target)
	if err != nil {
		return err
	}
	if closed != "" {
		if err := v.cover(closed); err != nil {
			return fmt.Errorf("replace %s: %w", closed, err)
		}
	}
	if err := v.makePlace(source, b.Target); err != nil {
		return err
	}
	if err := mount(source.path(), b.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	v.bound = append(v.bound, b.Target)
	if !b.ReadOnly {
		return nil
	}
	return protect(b.Target)
}

// makePlace makes the folder or the empty file that is bound over, in folders that were replaced. It makes none in
// those of the host, also where they are bound below such a folder.
func (v *view) makePlace(source handle, target string) error {
	if max(longest(v.covers, target), longest(v.tmp, target)) <= longest(v.bound, target) {
		return nil
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode, err := source.mode()
	if err != nil {
		return err
	}
	if mode == unix.S_IFDIR {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o644)
}

// protect makes what is mounted at path and below read-only, and closes it to mounts that the host makes there later,
// which would be writable.
func protect(path string) error {
	if err := mount("", path, "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if !within(m.point, path) {
			continue
		}
		err := mount("", m.point, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|m.flags, "")
		if err != nil && (m.point == path || !errors.Is(err, fs.ErrNotExist)) { // missing: another mount lies over it
			return fmt.Errorf("make %s read-only: %w", m.point, err)
		}
	}
	return nil
}

// protectRoot makes the mount at / read-only, and none below it. It comes after all binds, which take over its flag.
func protectRoot() error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.point == "/" {
			return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|m.flags, "")
		}
	}
	return errors.New("it is no mount: this is a chroot")
}

// mount is mount(2) at a path without links.
func mount(source, path, system string, flags uintptr, options string) error {
	target, err := open(path)
	if err != nil {
		return err
	}
	defer target.close()
	return unix.Mount(source, target.path(), system, flags, options)
}

// hideProc mounts a /proc in which only processes of the same user are seen. "invisible" instead of its number: kernels
// before 5.8, for which the option changes every /proc of the host, do not know the word.
func hideProc() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", flags, "hidepid=invisible"); err != nil {
		return fmt.Errorf("hide the processes of others: %w", err)
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	hides := false
	for _, m := range mounts { // the last one at /proc; behind it may stand what the host has mounted meanwhile
		if m.point == "/proc" {
			hides = m.system == "proc" && slices.Contains(strings.Split(m.super, ","), "hidepid=invisible")
		}
	}
	if !hides {
		return errors.New("hide the processes of others: the kernel ignores hidepid=invisible")
	}
	return nil
}
