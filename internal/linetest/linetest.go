// Package linetest gives tests a slow line, on the clock of testing/synctest.
package linetest

import (
	"net"
	"time"
)

// Line is the end of a connection that passes Rate bytes a second in each direction. It has no deadlines.
type Line struct {
	net.Conn
	Rate int
}

// Read implements net.Conn.
func (l Line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b[:min(len(b), l.step())])
	l.pass(n)
	return n, err
}

// Write implements net.Conn.
func (l Line) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = l.Conn.Write(b[n:min(len(b), n+l.step())])
		l.pass(m)
		n += m
	}
	return n, err
}

// step is the number of bytes that pass at once.
func (l Line) step() int { return max(l.Rate/10, 1) }

// pass takes the time of n bytes.
func (l Line) pass(n int) { time.Sleep(time.Duration(n) * time.Second / time.Duration(l.Rate)) }

// SetDeadline implements net.Conn.
func (l Line) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (l Line) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (l Line) SetWriteDeadline(time.Time) error { return nil }
