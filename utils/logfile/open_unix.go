//go:build unix

package logfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// resolve returns the file that path names. A symbolic link is followed when it belongs to root or to the user of this
// process; others could point it at what they may not write.
func resolve(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, nil // what is wrong shows when it is opened
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
