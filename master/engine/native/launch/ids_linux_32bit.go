//go:build linux && (386 || arm)

package launch

import "golang.org/x/sys/unix"

// The calls without a number in their name take users and groups of 16 bits here.
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetresuid = unix.SYS_SETRESUID32
)
