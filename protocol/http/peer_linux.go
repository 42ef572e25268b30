package http

import (
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CanTellPeers says whether this system tells who connects to a unix socket.
const CanTellPeers = true

// readPeer asks the kernel, and neither /proc nor /etc/group: the groups in /proc/<pid>/status are those of whoever has
// the pid now, and a look-up by name may hang on a directory service. What the kernel recorded at connect(2) is what it
// checked the mode of the socket file with, so that the two never disagree.
func readPeer(c *net.UnixConn) (*Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var p *Peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			failed = err
			return
		}
		p = &Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}
		p.Groups, failed = peerGroups(fd)
	})
	return p, errors.Join(err, failed)
}

// maxGroups is NGROUPS_MAX of Linux.
const maxGroups = 65536

func peerGroups(fd uintptr) ([]int, error) {
	for size := 64; size <= maxGroups; size *= 32 {
		ids := make([]uint32, size)
		length := uint32(4 * size)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch errno {
		case 0:
			var groups []int
			for _, id := range ids[:length/4] {
				groups = append(groups, int(id))
			}
			return groups, nil
		case unix.ERANGE: // more than fit
		case unix.ENOPROTOOPT: // Linux before 4.13: the primary group alone counts
			return nil, nil
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}
