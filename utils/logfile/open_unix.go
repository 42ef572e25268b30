//go:build unix

package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	noFollow = syscall.O_NOFOLLOW
	noWait   = syscall.O_NONBLOCK
)

// resolve returns the file that path names. A symbolic link is followed when it belongs to root or to the user of this
// process, unless none is to be followed; others could point it at what they may not write.
func resolve(path string, noLink bool) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, nil // what is wrong shows when it is opened
	}
	if noLink {
		return "", errors.New("it is a symbolic link, which a container may have made, and is not followed: remove it")
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return "", fmt.Errorf("it is a symbolic link of user %d, which is not followed", s.Uid)
	}
	return filepath.EvalSymlinks(path)
}

// own gives f the mode and the owner of another file, as far as this process may.
func own(f *os.File, as fs.FileInfo) {
	_ = f.Chmod(as.Mode().Perm())
	if s, ok := as.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(s.Uid), int(s.Gid))
	}
}

// writeTo writes all of p. A File of package os ends the process when a pipe at descriptor 1 or 2 is closed at the
// other end; this does not.
func writeTo(f *os.File, p []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := conn.Control(func(fd uintptr) {
		for n < len(p) && err == nil {
			var k int
			if k, err = unix.Write(int(fd), p[n:]); k > 0 {
				n += k
			}
			switch {
			case errors.Is(err, unix.EINTR):
				err = nil
			case errors.Is(err, unix.EAGAIN): // whoever opened it wants no blocking; there is nothing else to do here
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
				err = nil
			}
		}
	})
	if failed != nil {
		return n, failed
	}
	if err != nil {
		return n, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return n, nil
}
