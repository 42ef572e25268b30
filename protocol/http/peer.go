package http

import (
	"context"
	"fmt"
	"slices"
)

// Peer is the process at the other end of a unix socket, as the kernel recorded it when that process connected.
type Peer struct {
	UID, GID int
	PID      int   // for log lines only: another process may have the number by now
	Groups   []int // supplementary ones; empty on kernels before Linux 4.13
}

// In tells whether the process was in the group with this number, as the check of a file's mode sees it.
func (p Peer) In(gid int) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

func (p Peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID) }

// PeerOf returns who sent the request with this context; ok is false when it did not come over a unix socket, or when
// this system does not tell.
func PeerOf(ctx context.Context) (p Peer, ok bool) {
	c, _ := ctx.Value(connKey{}).(*conn)
	if c == nil || c.peer == nil {
		return Peer{}, false
	}
	return *c.peer, true
}
