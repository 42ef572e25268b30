//go:build !unix

package app

import "syscall"

// signals are those that this system has a number for. No master runs here: a module may read an application.
var signals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGABRT": syscall.SIGABRT,
	"SIGKILL": syscall.SIGKILL, "SIGALRM": syscall.SIGALRM, "SIGTERM": syscall.SIGTERM,
}

// endsNothing are signals that have a number and cannot be used.
var endsNothing = map[syscall.Signal]string{}
