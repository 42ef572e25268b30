// Package stall ends a connection that makes no progress. Its timeouts count from the last byte, not from the start of
// a packet or of a buffer, so that a slow line takes as long as it needs, and a dead one is noticed.
package stall

import (
	"errors"
	"iter"
	"net"
	"os"
	"sync"
	"time"
)

// Conn is a connection with timeouts of progress. What divides the stream into records of its own (TLS, WebSocket)
// belongs above it: a record may take longer than the timeout.
//
// While a timeout is set, or after EndBy, deadlines of that direction that others set have no effect.
type Conn struct {
	net.Conn

	mu    sync.Mutex // guards what follows, and the order of deadlines; leaf
	read  time.Duration
	write time.Duration
	ended bool // EndBy was called
}

// New returns conn without timeouts. It closes when conn does.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Of returns the Conn that is conn, or that carries it; nil: there is none.
func Of(conn net.Conn) *Conn {
	for c := range layers(conn) {
		if c, ok := c.(*Conn); ok {
			return c
		}
	}
	return nil
}

// Socket returns what carries conn in the end, below TLS, WebSocket and Conn.
func Socket(conn net.Conn) net.Conn {
	for c := range layers(conn) {
		conn = c
	}
	return conn
}

// layers are conn and what carries it, one below the other.
func layers(conn net.Conn) iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		for yield(conn) {
			below, ok := conn.(interface{ NetConn() net.Conn })
			if !ok {
				return
			}
			conn = below.NetConn()
		}
	}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// SetReadTimeout lets a Read end with os.ErrDeadlineExceeded when no byte comes for d; 0: only a deadline ends it. A
// Read that waits already keeps its deadline.
func (c *Conn) SetReadTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = d
}

// SetWriteTimeout lets a Write end with os.ErrDeadlineExceeded when no byte is taken for d, at the latest after twice
// d; 0: only a deadline ends it.
func (c *Conn) SetWriteTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = d
}

// EndBy sets deadlines that nothing moves any more, progress neither; zero leaves the direction as it is.
func (c *Conn) EndBy(read, write time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if !read.IsZero() {
		_ = c.Conn.SetReadDeadline(read)
	}
	if !write.IsZero() {
		_ = c.Conn.SetWriteDeadline(write)
	}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.read > 0 && !c.ended {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.read))
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (n int, err error) {
	for {
		moves := c.startWrite()
		m, err := c.Conn.Write(b[n:])
		n += m
		if err == nil || m == 0 || !moves || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// startWrite sets the deadline of a write, and tells whether it moves with progress.
func (c *Conn) startWrite() (moves bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write <= 0 || c.ended {
		return false
	}
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.write))
	return true
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read > 0 || c.ended {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write > 0 || c.ended {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
