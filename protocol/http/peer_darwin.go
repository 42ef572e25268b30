package http

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// CanTellPeers says whether this system tells who connects to a unix socket.
const CanTellPeers = true

// readPeer asks the kernel, which gives up to 16 groups, the primary one first.
func readPeer(c *net.UnixConn) (*Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var p *Peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			failed = err
			return
		}
		p = &Peer{UID: int(cred.Uid), GID: -1}
		for i := range min(int(cred.Ngroups), len(cred.Groups)) {
			p.Groups = append(p.Groups, int(cred.Groups[i]))
		}
		if len(p.Groups) > 0 {
			p.GID = p.Groups[0]
		}
		p.PID, failed = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	})
	return p, errors.Join(err, failed)
}
