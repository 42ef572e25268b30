//go:build unix

package app

import "syscall"

// signals are those that can be asked for by name: what a program can take as a request to end. Their numbers are those
// of the system. SIGSTOP and its kind end nothing, and SIGCHLD and SIGCONT are ignored by nearly every program.
var signals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGABRT": syscall.SIGABRT,
	"SIGKILL": syscall.SIGKILL, "SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2, "SIGALRM": syscall.SIGALRM,
	"SIGTERM": syscall.SIGTERM, "SIGWINCH": syscall.SIGWINCH,
}

// endsNothing are signals that have a number and cannot be used.
var endsNothing = map[syscall.Signal]string{
	syscall.SIGSTOP: "SIGSTOP", syscall.SIGTSTP: "SIGTSTP", syscall.SIGTTIN: "SIGTTIN", syscall.SIGTTOU: "SIGTTOU",
	syscall.SIGCONT: "SIGCONT", syscall.SIGCHLD: "SIGCHLD",
}
