package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/baetyl/baetyl/utils/file"
)

// pass is one walk through all that a backup has.
type pass struct {
	o       Options
	roots   []string
	logs    []string // folders whose content is left out
	entries []Entry
	stamps  map[string]stamp // of files, by path
	left    []LeftOut
	names   *names
}

// stamp tells whether a file has changed.
type stamp struct {
	dev, ino    uint64
	size        int64
	mtime, when time.Time // when: of its last change of any kind, by the clock of the kernel
}

// settled is how much older than the walk the last change of a file has to be for the stamp to tell a later one: the
// clock of a file system goes in steps, of 2 seconds at most (FAT).
const settled = 2 * time.Second

// names finds names of users and groups, each once.
type names struct{ users, groups map[int]string }

func newNames() *names { return &names{map[int]string{}, map[int]string{}} }

func (n *names) user(uid int) string {
	name, ok := n.users[uid]
	if !ok {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			name = u.Username
		}
		n.users[uid] = name
	}
	return name
}

func (n *names) group(gid int) string {
	name, ok := n.groups[gid]
	if !ok {
		if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
			name = g.Name
		}
		n.groups[gid] = name
	}
	return name
}

// walk lists what there is now.
func walk(o Options, n *names) (*pass, error) {
	c := o.Application()
	p := &pass{o: o, stamps: map[string]stamp{}, names: n}
	p.roots, p.left = roots(c)
	p.logs = append(logVolumes(c), logDir)
	p.roots = slices.DeleteFunc(p.roots, func(r string) bool {
		_, err := os.Lstat(filepath.Join(o.Workdir, r))
		return errors.Is(err, fs.ErrNotExist)
	})
	if o.Logs {
		if _, err := os.Lstat(filepath.Join(o.Workdir, logDir)); err == nil {
			p.roots = append(p.roots, logDir)
		}
	}
	for _, r := range p.roots {
		if err := p.root(r); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// root adds one root. It may be a link, as etc and var are on some devices: what it leads to counts.
func (p *pass) root(name string) error {
	at, err := filepath.EvalSymlinks(filepath.Join(p.o.Workdir, name))
	if err != nil {
		return err
	}
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	dir := at
	if !info.IsDir() {
		dir = filepath.Dir(at)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if !info.IsDir() {
		return p.add(root, filepath.Base(at), name, info)
	}
	return p.folder(root, ".", name, info)
}

// folder adds the folder dir of root, which is path in the backup, and what is in it.
func (p *pass) folder(root *os.Root, dir, name string, info fs.FileInfo) error {
	if err := p.append(name, KindFolder, info, ""); err != nil {
		return err
	}
	d, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return p.gone(name, err)
	}
	list, err := d.ReadDir(-1)
	_ = d.Close()
	if err != nil {
		return fmt.Errorf("read folder %s: %w", name, err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	for _, e := range list {
		info, err := root.Lstat(path.Join(dir, e.Name()))
		if err == nil {
			err = p.add(root, path.Join(dir, e.Name()), path.Join(name, e.Name()), info)
		}
		if err := p.gone(path.Join(name, e.Name()), err); err != nil {
			return err
		}
	}
	return nil
}

// gone is nil for an error that says that something has been removed meanwhile.
func (p *pass) gone(name string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("back up %s: %w", name, err)
}

// add adds what is at name of root, and path in the backup.
func (p *pass) add(root *os.Root, at, name string, info fs.FileInfo) error {
	if why := p.excluded(name); why != "" {
		return nil
	}
	if !utf8.ValidString(name) {
		return p.leave(fmt.Sprintf("%q", name), "its name is not UTF-8; rename it")
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return p.folder(root, at, name, info)
	case mode.IsRegular():
		p.stamps[name] = stampOf(info)
		return p.append(name, KindFile, info, "")
	case mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(at)
		if err == nil && !utf8.ValidString(target) {
			return p.leave(name, "it is a link to a name that is not UTF-8; rename that")
		}
		if err == nil {
			err = p.append(name, KindLink, info, target)
		}
		return err
	case mode&fs.ModeSocket != 0:
		return nil // whoever listens makes it anew
	}
	return p.leave(name, "it is a pipe or a device")
}

func (p *pass) leave(name, why string) error {
	if len(p.left) >= maxEntries {
		return fmt.Errorf("more than %d files cannot be in a backup", maxEntries)
	}
	p.left = append(p.left, LeftOut{name, why})
	return nil
}

func (p *pass) append(name, kind string, info fs.FileInfo, target string) error {
	if len(p.entries) >= maxEntries {
		return fmt.Errorf("there are more than %d files and folders, which no backup takes; pack %s into fewer files",
			maxEntries, path.Dir(name))
	}
	e := Entry{Path: name, Kind: kind, Mode: unixMode(info.Mode()), Time: info.ModTime().UTC(), Target: target}
	if kind == KindFile {
		e.Size = info.Size()
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID = int(st.Uid), int(st.Gid)
		e.User, e.Group = p.names.user(e.UID), p.names.group(e.GID)
	}
	p.entries = append(p.entries, e)
	return nil
}

// open opens a file of the backup. It follows no link below a root, and waits for no pipe.
func (p *pass) open(name string) (*os.File, error) {
	for _, r := range p.roots {
		if !within(r, name) {
			continue
		}
		at, err := filepath.EvalSymlinks(filepath.Join(p.o.Workdir, r))
		if err != nil {
			return nil, err
		}
		var rest string
		if name != r {
			rest = name[len(r)+1:]
		} else {
			at, rest = filepath.Dir(at), filepath.Base(at)
		}
		root, err := os.OpenRoot(at)
		if err != nil {
			return nil, err
		}
		f, err := root.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		_ = root.Close()
		return f, err
	}
	return nil, fs.ErrNotExist
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime(), when: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(st.Dev), st.Ino //nolint:unconvert // its type differs from system to system
		if t := changed(st); t.After(s.when) {
			s.when = t
		}
	}
	return s
}

// sure tells whether a stamp that was taken at a time tells a later change.
func (s stamp) sure(at time.Time) bool { return at.Sub(s.when) >= settled }

// unixMode are the permissions of a mode, with setuid, setgid and sticky where Unix has them.
func unixMode(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	for bit, is := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&is != 0 {
			out |= bit
		}
	}
	return out
}

// freeBytes is what may still be written beside dir.
func freeBytes(dir string) (uint64, error) { return file.Free(dir) }
