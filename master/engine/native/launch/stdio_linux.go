package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// giveOutput makes the pipes of standard input, output and error those of the user: only their owner can open them by
// name, as a program does that writes to /dev/stderr.
func giveOutput(spec Spec) error {
	if spec.UID < 0 {
		return nil
	}
	for fd := range specFD {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue // closed, or a file of somebody else
		}
		if err := unix.Fchown(fd, spec.UID, spec.GID); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return nil
}
