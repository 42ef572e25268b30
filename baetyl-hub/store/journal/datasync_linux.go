package journal

import (
	"os"
	"syscall"
)

// datasync writes the data of f to stable storage, with the metadata that reading it needs.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
