package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// unpacker puts entries into the stages of a restore. The kernel keeps it inside of them.
type unpacker struct {
	t      *target
	owner  func(Entry) (uid, gid int)
	opened map[string]*os.Root
	files  map[string]Entry // by path
	done   map[string]bool  // files that were written
}

func (u *unpacker) close() {
	for _, r := range u.opened {
		_ = r.Close()
	}
}

// place returns where an entry goes: a folder that is open, and the name in it. ok is false for a root that stays where
// it is, and for what is of this host.
func (u *unpacker) place(path string) (root *os.Root, name string, ok bool, err error) {
	for r, at := range u.t.roots {
		if !within(r, path) {
			continue
		}
		dir, rest := at, "."
		if path != r {
			rest = path[len(r)+1:]
		}
		if r != confDir && r != dataDir {
			dir, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest)
		} else if rest == "." || stays(filepath.Join(r, first(rest))) {
			return nil, "", false, nil
		}
		root, err := u.open(filepath.Join(dir, stageDir, "new"))
		return root, rest, true, err
	}
	return nil, "", false, nil
}

func first(path string) string {
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		path = dir
	}
	return path
}

func (u *unpacker) open(dir string) (*os.Root, error) {
	if r, ok := u.opened[dir]; ok {
		return r, nil
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
		return nil, err
	}
	for _, d := range []string{filepath.Dir(dir), dir} { // nobody else gets in meanwhile
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	r, err := os.OpenRoot(dir)
	if err == nil {
		if u.opened == nil {
			u.opened = map[string]*os.Root{}
		}
		u.opened[dir] = r
	}
	return r, err
}

// folders makes all folders, so that files find theirs.
func (u *unpacker) folders(m Manifest) error {
	for _, e := range m.Entries {
		if e.Kind == KindFile {
			u.files[e.Path] = e
		}
		if e.Kind != KindFolder {
			continue
		}
		root, name, ok, err := u.place(e.Path)
		if err == nil && ok {
			err = root.Mkdir(name, 0o700)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", e.Path, err)
		}
	}
	return nil
}

// file writes a file, again when it comes again. What the manifest does not name is left out.
func (u *unpacker) file(path string, size int64, content io.Reader) error {
	if _, ok := u.files[path]; !ok {
		return nil
	}
	root, name, ok, err := u.place(path)
	if err != nil || !ok {
		return err
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	err = sparse(out, content, size)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	return nil
}

// hole is how many zeros are not written, but left out of the file.
const hole = 4096

// sparse copies content of a size, with holes where it has zeros: a database that is mostly empty takes the room that
// it took.
func sparse(out *os.File, content io.Reader, size int64) error {
	var buf, zero [hole]byte
	for {
		n, err := io.ReadFull(content, buf[:])
		switch {
		case n == hole && bytes.Equal(buf[:], zero[:]):
			if _, err := out.Seek(hole, io.SeekCurrent); err != nil {
				return err
			}
		case n > 0:
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out.Truncate(size) // a shorter one is found by its checksum
		}
		if err != nil {
			return err
		}
	}
}

// finish makes links, and gives everything its owner, mode and time: folders at last, since what is made in one changes
// its time, and what is in them first.
func (u *unpacker) finish(m Manifest) error {
	for _, kinds := range [][]string{{KindLink}, {KindFile}, {KindFolder}} {
		list := slices.DeleteFunc(slices.Clone(m.Entries), func(e Entry) bool { return !slices.Contains(kinds, e.Kind) })
		for _, e := range slices.Backward(list) {
			root, name, ok, err := u.place(e.Path)
			if err == nil && ok {
				err = u.dress(root, name, e)
			}
			if err != nil {
				return fmt.Errorf("unpack %s: %w", e.Path, err)
			}
		}
	}
	return nil
}

func (u *unpacker) dress(root *os.Root, name string, e Entry) error {
	uid, gid := u.owner(e)
	if e.Kind == KindLink {
		if err := root.Symlink(e.Target, name); err != nil {
			return err
		}
		return root.Lchown(name, uid, gid)
	}
	if err := root.Lchown(name, uid, gid); err != nil { // before the mode, since it takes setuid away
		return err
	}
	if err := root.Chmod(name, fileMode(e.Mode)); err != nil {
		return err
	}
	return root.Chtimes(name, e.Time, e.Time)
}

func fileMode(bits uint32) fs.FileMode {
	out := fs.FileMode(bits & 0o777)
	for bit, is := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			out |= is
		}
	}
	return out
}

// owners says who owns an entry here. Containers have numbers of their own, which stay. On the host names count, where
// it has them; what was a service's is root's, until the start of the service gives its volumes to the user that it has
// here. Who is not root owns everything.
func owners(mode string) func(Entry) (uid, gid int) {
	if os.Geteuid() != 0 {
		return func(Entry) (int, int) { return -1, -1 }
	}
	users, groups := map[string]int{}, map[string]int{}
	find := func(known map[string]int, name string, number int, lookup func(string) (string, error)) int {
		switch {
		case mode == masterapi.ModeDocker:
			return number
		case engine.MayBeService(uint32(number)):
			return 0
		case name == "":
			return number
		}
		id, ok := known[name]
		if !ok {
			id = number
			if text, err := lookup(name); err == nil {
				if n, err := strconv.Atoi(text); err == nil {
					id = n
				}
			}
			known[name] = id
		}
		return id
	}
	return func(e Entry) (int, int) {
		uid := find(users, e.User, e.UID, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		gid := find(groups, e.Group, e.GID, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		return uid, gid
	}
}
