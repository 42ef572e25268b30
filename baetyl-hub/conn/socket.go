package conn

import (
	"errors"
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

// close closes the socket. TLS would first say goodbye, and wait for seconds if the socket is full: it can't if abort
// is set.
func (c *connection) close(abort bool) {
	conn := c.conn
	if abort {
		conn = stall.Socket(conn)
	}
	_ = conn.Close()
}

// timedOut tells whether a deadline of ours has passed. The errors of a WebSocket do not say which error they come
// from, and a connection may also time out in the kernel.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
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
