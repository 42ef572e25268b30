package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// handle is an open folder or file, which stays the same one whatever happens to its path.
type handle int

// open opens path without following a link: a service that can write to a folder on the way could put one there, and
// what this process opens, it opens as root.
func open(path string) (handle, error) {
	at := "/"
	dir, err := unix.Open(at, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: at, Err: err}
	}
	for _, name := range strings.Split(path[1:], "/") {
		at = filepath.Join(at, name)
		next, err := unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		_ = unix.Close(dir)
		if err != nil {
			return 0, &fs.PathError{Op: "open", Path: at, Err: err}
		}
		dir = next
		if mode, err := handle(dir).mode(); err != nil || mode == unix.S_IFLNK {
			_ = unix.Close(dir)
			return 0, errors.Join(err, fmt.Errorf("%s is a link", at))
		}
	}
	return handle(dir), nil
}

// path leads to what h is.
func (h handle) path() string { return "/proc/self/fd/" + strconv.Itoa(int(h)) }

func (h handle) close() { _ = unix.Close(int(h)) }

// mode is the S_IFMT part of the mode.
func (h handle) mode() (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(h), &st)
	return st.Mode & unix.S_IFMT, err
}

// within tells whether path is root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// longest is the length of the longest of roots that path lies below, 0 when there is none.
func longest(roots []string, path string) (n int) {
	for _, r := range roots {
		if path != r && within(path, r) {
			n = max(n, len(r))
		}
	}
	return n
}

// depth is how many folders path is away from the root.
func depth(path string) int { return strings.Count(path, "/") }

// resolve follows the links of path; ok is false when there is nothing.
func resolve(path string) (to string, ok bool, err error) {
	to, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", false, nil
	}
	return to, err == nil, err
}

// closedTo returns the first folder on the way to path, "/" left out, that the program could not pass; empty when it
// can pass all that exist.
func closedTo(spec Spec, path string) (closed string, err error) {
	err = asUser(spec, func() error {
		for i := 1; i < len(path); i++ {
			if path[i] != '/' {
				continue
			}
			dir := path[:i]
			_, err := os.Lstat(dir + "/.") // needs the right to pass dir
			switch {
			case errors.Is(err, fs.ErrPermission):
				closed = dir
				return nil
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			}
		}
		return nil
	})
	return closed, err
}
