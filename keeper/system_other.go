//go:build unix && !linux

package keeper

import (
	"errors"
	"os"
	"syscall"
)

// bornIn does nothing: there are no cgroups here, and children outlive their parent.
func bornIn(*syscall.SysProcAttr, string) (closeIt func(), err error) { return func() {}, nil }

// openPath opens a file to be executed.
func openPath(path string) (int, error) {
	return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
}

// sealed returns a file without a name with content.
func sealed(name string, content []byte) (int, error) {
	f, err := os.CreateTemp("", name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd, err := duplicate(int(f.Fd()))
	if err := errors.Join(err, os.Remove(f.Name())); err != nil {
		return 0, err
	}
	return fd, fill(fd, content)
}

// closeInherited lets no child inherit what this process has inherited, but its console.
func closeInherited() {
	for fd := 3; fd < 256; fd++ {
		syscall.CloseOnExec(fd)
	}
}

func becomeSubreaper() {}

func nameProcess(string) {}
