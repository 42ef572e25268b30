package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// passSockets puts the n sockets where the program looks for them, in place of the description and of descriptor 4, and
// returns what that is now. All numbers up to the last socket are ours: the runtime has only higher ones.
func passSockets(n int) (status int, err error) {
	status, err = unix.FcntlInt(statusFD, unix.F_DUPFD_CLOEXEC, socketFD+n)
	if err != nil {
		return statusFD, err
	}
	for i := range n {
		if err := unix.Dup3(socketFD+i, specFD+i, 0); err != nil {
			return status, fmt.Errorf("descriptor %d: %w", socketFD+i, err)
		}
	}
	return status, nil
}
