package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// takeTerminal makes the terminal on standard input that of the session, which has just begun.
func takeTerminal(spec Spec) error {
	if !spec.Terminal {
		return nil
	}
	if spec.UID >= 0 { // else it could not be opened by name
		if err := unix.Fchown(0, spec.UID, -1); err != nil {
			return err
		}
	}
	return unix.IoctlSetInt(0, unix.TIOCSCTTY, 0)
}

// joinNamespaces enters those of the instance. It is the last step that needs root and the files of the host: what is
// at a path may be the instance's choice from now on, so nothing is opened there before the user changes.
func joinNamespaces(spec Spec) error {
	if spec.Join == 0 {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // of this thread: else a mount namespace cannot be entered
		return err
	}
	for i := range spec.Join {
		if err := unix.Setns(joinFD+i, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", joinFD+i, err)
		}
		if err := unix.Close(joinFD + i); err != nil {
			return err
		}
	}
	return nil
}
