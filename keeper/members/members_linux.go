package members

import (
	"errors"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

const atOnce = 100 // descriptors that are open at a time

// Signal sends sig to the processes in the group at path itself. Between reading a number and using it the process
// may have ended, and a stranger have its number: a descriptor of each is taken, and only those are signalled that the
// group still has after that.
func Signal(path string, sig syscall.Signal) error {
	list, err := Processes(path)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(list, atOnce) {
		if err := signalSome(path, some, sig); err != nil {
			return err
		}
	}
	return nil
}

func signalSome(path string, list []int, sig syscall.Signal) (failed error) {
	fds := map[int]int{}
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range list {
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case err == nil:
			fds[pid] = fd
		case errors.Is(err, unix.ENOSYS): // before Linux 5.3
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				failed = errors.Join(failed, err)
			}
		case !errors.Is(err, unix.ESRCH):
			failed = errors.Join(failed, err)
		}
	}
	still, err := Processes(path)
	if err != nil {
		return err
	}
	for _, pid := range still {
		fd, ok := fds[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
