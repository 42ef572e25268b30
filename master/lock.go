package master

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// KeptLock is the name under which a keeper holds the lock of the working directory.
const KeptLock = "lock"

// lock makes this the only master of workdir: a second one would take the services of the first for left-overs, and end
// them. held is what an earlier master has left with the keeper, nil without one: the lock is that of every process
// that has the file open, so it goes from one master to the next without a gap. The system releases it when the last of
// them ends, however it ends.
func lock(workdir string, held *os.File) (*os.File, error) {
	path := filepath.Join(workdir, lockFile)
	if held != nil {
		if same(held, path) {
			return held, nil
		}
		_ = held.Close() // somebody has removed the file: a lock on it would keep nobody away
	}
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
	return f, nil
}

// same tells whether f is the file at path.
func same(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
