package file

import (
	"os"
	"syscall"
)

// Datasync writes the data of f to stable storage, with the metadata that reading it needs. Of a file that is written
// over and does not grow that costs less than Sync.
func Datasync(f File) error {
	o, ok := f.(*os.File)
	if !ok {
		return f.Sync()
	}
	for {
		err := syscall.Fdatasync(int(o.Fd()))
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
