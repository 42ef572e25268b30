package host

import (
	"errors"
	"os"
	"syscall"
)

// KernelLog returns the end of what the kernel has said since its start, at most limit bytes, as /dev/kmsg writes it.
// It does not wait. An error, as on systems other than Linux and for users who may not read it, says that it is not
// known, or not whole.
func KernelLog(limit int) ([]byte, error) {
	// Not with package os: its poller would wait for the next line.
	fd, err := syscall.Open("/dev/kmsg", syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/kmsg", Err: err}
	}
	defer func() { _ = syscall.Close(fd) }()
	var out []byte
	record := make([]byte, 8<<10)
	for range 1 << 20 {
		n, err := syscall.Read(fd, record)
		switch {
		case errors.Is(err, syscall.EAGAIN), err == nil && n == 0:
			return out[max(0, len(out)-limit):], nil
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EINTR): // a record was overwritten meanwhile
			continue
		case err != nil:
			return out, &os.PathError{Op: "read", Path: "/dev/kmsg", Err: err}
		}
		if out = append(out, record[:n]...); len(out) > 2*limit {
			out = out[:copy(out, out[len(out)-limit:])]
		}
	}
	return out[max(0, len(out)-limit):], nil
}
