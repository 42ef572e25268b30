// Package signals gives signals their defaults, also those that Go's runtime leaves alone.
package signals

import (
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Those that Go's runtime leaves as they were inherited: the C library uses them for threads (signal(7), nptl(7)).
const (
	FirstOfThreads syscall.Signal = 32
	LastOfThreads  syscall.Signal = 34
)

// Last is the last signal of this processor.
func Last() syscall.Signal { return syscall.Signal(8 * setSize()) }

// Default gives the signals from first to last what they do by default (rt_sigaction(2)). What Go's runtime handles is
// lost by it: a program that goes on calls it with FirstOfThreads and LastOfThreads only.
func Default(first, last syscall.Signal) error {
	// A struct sigaction of zeros is the default on every processor; this is larger than each of them.
	var byDefault [64]byte
	for sig := first; sig <= last; sig++ {
		if sig == syscall.SIGKILL || sig == syscall.SIGSTOP {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&byDefault)), 0,
			setSize(), 0, 0)
		if errno != 0 {
			return errno
		}
	}
	return nil
}

// setSize is the size of a set of signals in bytes.
func setSize() uintptr {
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		return 16
	}
	return 8
}
