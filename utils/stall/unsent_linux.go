package stall

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the system may hold that it has not sent, about.
const unsent = 64 << 10

// LimitUnsent keeps the bytes few that the system holds and has not sent, if conn is TCP: what comes next, an answer to
// a ping for example, waits behind them. The line is used as well as before.
func LimitUnsent(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // a kernel without it: no limit
	})
}
