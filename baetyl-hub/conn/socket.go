package conn

import (
	"net"
	"syscall"

	"github.com/baetyl/baetyl/utils/stall"
)

// plain returns the TCP connection whose bytes are those of MQTT; nil for TLS and WebSocket.
func plain(conn net.Conn) *net.TCPConn {
	if below, ok := conn.(interface{ TCP() *net.TCPConn }); ok { // listener.Conn
		return below.TCP()
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// left tells whether the client has closed its end, or the connection is broken. Where that can't be seen without
// reading, it is not so.
func left(conn net.Conn) bool {
	socket, ok := stall.Socket(conn).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	_ = raw.Control(func(fd uintptr) { gone = hungUp(fd) })
	return gone
}
