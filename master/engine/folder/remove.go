//go:build unix

package folder

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxRemoved bounds how many entries one call of Remove looks at: whoever wrote them decides how many there are.
const maxRemoved = 1_000_000

// portion is how many names of a folder are read at once.
const portion = 256

// ErrMany means that there is more than one call of Remove removes. The next one goes on.
var ErrMany = fmt.Errorf("more than %d files; the rest is removed later", maxRemoved)

// Remove removes what is called path and all in it, as os.RemoveAll does, with a few descriptors and little memory
// however deep the folders are, and with short errors. No link is followed, and what is mounted below stays. The folder
// above path is one of the master.
func Remove(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return RemoveIn(dir, filepath.Base(path))
}

// RemoveIn is Remove of name in the open folder dir.
func RemoveIn(dir *os.File, name string) error {
	r := remover{prefix: ".removed-" + rand.Text() + "-"}
	if err := r.remove(int(dir.Fd()), name); err != nil {
		return fmt.Errorf("remove %s in %s: %w", cut(name), cut(dir.Name()), err)
	}
	return nil
}

// cut shortens a path for messages: a service may have made it as long as it likes.
func cut(path string) string {
	const most = 300
	if len(path) <= most {
		return path
	}
	return path[:most/2] + "…" + path[len(path)-most/2:]
}

// remover removes a tree by making it flat: a folder in a folder of the top moves to the top, until none is in another
// one. So it holds two descriptors at most, and looks at each entry twice.
type remover struct {
	prefix string // of the names at the top
	moved  int
	seen   int
}

func (r *remover) remove(dir int, name string) error {
	if done, err := unlink(dir, name); done {
		return err
	}
	top, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(top)
	err = r.empty(top, func(child string) error {
		if done, err := unlink(top, child); done {
			return err
		}
		inner, err := unix.Openat(top, child, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		defer unix.Close(inner)
		err = r.empty(inner, func(grandchild string) error {
			if done, err := unlink(inner, grandchild); done {
				return err
			}
			r.moved++
			err := unix.Renameat(inner, grandchild, top, r.prefix+strconv.Itoa(r.moved))
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		_, err = unlink(top, child)
		return err
	})
	if err != nil {
		return err
	}
	_, err = unlink(dir, name)
	return err
}

// unlink removes what is called name, unless it is a folder with something in it: then it is not done.
func unlink(dir int, name string) (done bool, err error) {
	err = unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	switch folder := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); {
	case folder == nil || errors.Is(folder, unix.ENOENT):
		return true, nil
	case errors.Is(folder, unix.ENOTEMPTY), errors.Is(folder, unix.EEXIST):
		return false, folder
	case errors.Is(folder, unix.ENOTDIR):
		return true, err
	default:
		return true, folder
	}
}

// empty calls remove for each name in dir until there is none. What cannot be removed does not keep the rest; the first
// such error is returned.
func (r *remover) empty(dir int, remove func(name string) error) error {
	for {
		names, err := read(dir)
		if err != nil || len(names) == 0 {
			return err
		}
		var first error
		removed := 0
		for _, name := range names {
			if r.seen++; r.seen > maxRemoved {
				return ErrMany
			}
			switch err := remove(name); {
			case errors.Is(err, ErrMany):
				return err
			case err == nil:
				removed++
			case first == nil:
				first = fmt.Errorf("%s: %w", cut(name), err)
			}
		}
		if removed == 0 {
			return first
		}
	}
}

// read returns the first names in dir.
func read(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) { // removed meanwhile
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	names, err := f.Readdirnames(portion)
	if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return names, err
}
