package launch

import (
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resetSignals gives every signal its default and blocks none: exec would keep what is ignored or blocked. An ignored
// SIGPIPE makes the writer of a closed pipe spin.
func resetSignals(Spec) error {
	// A struct sigaction of zeros is the default on every processor; this is larger than each of them.
	var byDefault [64]byte
	size := uintptr(8) // of a set of signals
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	for sig := uintptr(1); sig <= 8*size; sig++ {
		if unix.Signal(sig) == unix.SIGKILL || unix.Signal(sig) == unix.SIGSTOP {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&byDefault)), 0, size, 0, 0)
		if errno != 0 {
			return errno
		}
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}
