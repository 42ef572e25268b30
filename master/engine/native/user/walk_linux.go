package user

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the descriptors that are open while a tree is walked through: one for each level.
const maxDepth = 200

// inode is a file, whatever its names are.
type inode struct{ dev, ino uint64 }

// entry is an open file, folder or link: what is done to it happens to it, whatever its name means by then.
type entry struct {
	fd       int // O_PATH, or of a folder that can be read
	id       inode
	mount    uint64 // 0: unknown, before Linux 5.8
	mode     uint32 // st_mode
	links    uint32
	uid, gid int
}

func (e entry) close() { _ = unix.Close(e.fd) }

func (e entry) isDir() bool { return e.mode&unix.S_IFMT == unix.S_IFDIR }

// readOnly tells whether the file system of e is.
func (e entry) readOnly() bool {
	var s unix.Statfs_t
	return unix.Fstatfs(e.fd, &s) == nil && s.Flags&unix.ST_RDONLY != 0
}

// open opens path from the root on without following a link: a service may have put one there since it was looked at.
func open(path string) (entry, error) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return entry{}, err
	}
	for _, name := range strings.Split(strings.Trim(filepath.Clean(path), "/"), "/") {
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(fd)
		if err != nil {
			return entry{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
		fd = next
	}
	e, err := examine(fd)
	if err == nil && e.mode&unix.S_IFMT != unix.S_IFDIR && e.mode&unix.S_IFMT != unix.S_IFREG {
		e.close()
		return entry{}, fmt.Errorf("%s is neither a folder nor a file", path)
	}
	if err == nil && !e.isDir() && e.links > 1 {
		e.close()
		return entry{}, fmt.Errorf("%s has a second name (a hard link), which would be given away too", path)
	}
	return e, err
}

// examine reads what fd is. It closes fd when it fails.
func examine(fd int) (entry, error) {
	var s unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &s)
	if err != nil {
		_ = unix.Close(fd)
		return entry{}, os.NewSyscallError("statx", err)
	}
	e := entry{
		fd: fd, id: inode{unix.Mkdev(s.Dev_major, s.Dev_minor), s.Ino},
		mode: uint32(s.Mode), links: s.Nlink, uid: int(s.Uid), gid: int(s.Gid),
	}
	if s.Mask&unix.STATX_MNT_ID != 0 {
		e.mount = s.Mnt_id
	}
	return e, nil
}

// walk gives a tree away.
type walk struct {
	owner   owner
	skip    map[inode]bool // folders that have owners of their own
	from    entry          // of the volume
	changed int
	left    []string // what was left alone, and why; the first few
	more    int      // how many others were
}

// give walks through the tree at top. A file system that has no owners keeps those that it has.
func (w *walk) give(top entry) error {
	w.from = top
	if err := w.top(top); err != nil || len(w.left) > 0 || !top.isDir() {
		return err
	}
	return w.folder(top, "", 0)
}

// top gives away the folder or file of a volume, without what is in it.
func (w *walk) top(e entry) error {
	err := w.set(e, 0o007)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		w.leave(".", err.Error())
		return nil
	}
	return err
}

// folder gives away what is in dir. path is for people.
func (w *walk) folder(dir entry, path string, depth int) error {
	fd, err := unix.Openat(dir.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("read folder %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read folder %s: %w", path, err)
	}
	for _, name := range names {
		if err := w.one(fd, name, filepath.Join(path, name), depth); err != nil {
			return err
		}
	}
	return nil
}

// one gives away what is called name in the folder dir.
func (w *walk) one(dir int, name, path string, depth int) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	e, err := examine(fd)
	if err != nil {
		return err
	}
	defer e.close()
	switch kind := e.mode & unix.S_IFMT; {
	case e.id.dev != w.from.id.dev || e.mount != w.from.mount:
		w.leave(path, "is mounted there")
		return nil
	case e.isDir() && w.skip[e.id]:
		return nil
	case e.isDir() && depth >= maxDepth:
		w.leave(path, "lies too deep")
		return nil
	case !e.isDir() && e.links > 1:
		w.leave(path, "has a second name (a hard link)")
		return nil
	case kind == unix.S_IFBLK || kind == unix.S_IFCHR:
		w.leave(path, "is a device")
		return nil
	}
	if e.isDir() {
		if err := w.folder(e, path, depth+1); err != nil {
			return err
		}
	}
	if err := w.set(e, 0); err != nil {
		w.leave(path, err.Error())
	}
	return nil
}

// set gives e its owner and mode; the bits in deny are taken away. A file that had the right to change who runs it
// (set-uid, set-gid, capabilities) loses that.
func (w *walk) set(e entry, deny uint32) error {
	mode := w.mode(e) &^ deny
	before := e.mode & 0o7777
	if e.uid == w.owner.uid && e.gid == w.owner.gid && mode == before {
		return nil
	}
	if e.uid != w.owner.uid || e.gid != w.owner.gid {
		if err := unix.Fchownat(e.fd, "", w.owner.uid, w.owner.gid, unix.AT_EMPTY_PATH); err != nil {
			return os.NewSyscallError("chown", err)
		}
		before &^= 0o6000 // the kernel may have done so
	}
	if mode != before && e.mode&unix.S_IFMT != unix.S_IFLNK {
		// A descriptor of this kind has no fchmod before Linux 6.6; its name below /proc is no link that could be changed.
		if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", e.fd), toMode(mode)); err != nil {
			return err
		}
	}
	w.changed++
	return nil
}

// mode is the mode that e is to have: the group reads what the owner reads, or has what the owner has, or what it has.
func (w *walk) mode(e entry) uint32 {
	mode := e.mode & 0o7777
	switch e.mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return mode
	case unix.S_IFDIR:
		mode = mode&^unix.S_ISUID | unix.S_ISGID // what is made in it belongs to the group too
	default:
		mode &^= unix.S_ISUID | unix.S_ISGID
	}
	switch w.owner.group {
	case Read:
		mode |= mode & 0o500 >> 3
	case Write:
		mode |= mode & 0o700 >> 3
	}
	return mode
}

// toMode writes the bits of the system as package os has them.
func toMode(mode uint32) os.FileMode {
	out := os.FileMode(mode & 0o777)
	for bit, m := range map[uint32]os.FileMode{
		unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky,
	} {
		if mode&bit != 0 {
			out |= m
		}
	}
	return out
}

const maxNamed = 3 // of what was left alone

func (w *walk) leave(path, why string) {
	if len(w.left) < maxNamed {
		w.left = append(w.left, path+" "+why)
		return
	}
	w.more++
}

func (w *walk) warnings(path string) []string {
	if len(w.left) == 0 {
		return nil
	}
	text := fmt.Sprintf("volume %s: left with its owner: %s", path, strings.Join(w.left, "; "))
	if w.more > 0 {
		text += fmt.Sprintf("; and %d more", w.more)
	}
	return []string{text}
}
