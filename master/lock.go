package master

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock makes this the only master of workdir: a second one would take the services of the first for left-overs, and end
// them. The system releases the lock when the process ends, however it ends.
func lock(workdir string) (unlock func(), err error) {
	path := filepath.Join(workdir, lockFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			const remedy = "stop it first, or give this one its own directory with -w"
			return nil, fmt.Errorf("another master runs in %s; %s", workdir, remedy)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing the file releases the lock
}
