package journal

import (
	"os"
	"syscall"
)

// datasync brings the data of f to stable storage, with as much of its metadata as reading it needs.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
