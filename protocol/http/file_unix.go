//go:build unix

package http

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// fileID tells one file at path from another that was made there later; empty: there is none.
func fileID(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// unblock makes calls on l return at once, as the poller of Go needs it.
func unblock(l net.Listener) error {
	sys, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a listener of type %T has no descriptor", l)
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.SetNonblock(int(fd), true) })
	return errors.Join(err, failed)
}
