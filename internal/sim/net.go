package sim

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Net is a network. Its methods may be called from any goroutine.
type Net struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	count uint64
}

// NewNet returns a network without connections.
func NewNet(rnd *rand.Rand) *Net { return &Net{rnd: rnd} }

// Link says how a connection behaves.
type Link struct {
	Latency time.Duration // of a piece, at most; each takes what chance says, and none overtakes another
	Buffer  int           // bytes on the way to the client, at most; then the server's Write waits. 0: 64 KiB
}

// Pair returns the two ends of a connection. The client's Write never waits.
func (n *Net) Pair(l Link) (client, server *Conn) {
	n.mu.Lock()
	n.count++
	seed, number := n.rnd.Uint64(), n.count
	n.mu.Unlock()
	if l.Buffer == 0 {
		l.Buffer = 64 << 10
	}
	mu := new(sync.Mutex)
	up := &way{rnd: Rand(seed, 0), latency: l.Latency}
	down := &way{rnd: Rand(seed, 1), latency: l.Latency, limit: l.Buffer}
	client = &Conn{mu: mu, in: down, out: up, name: "client-" + strconv.FormatUint(number, 10)}
	server = &Conn{mu: mu, in: up, out: down, name: "hub"}
	client.peer, server.peer = server, client
	up.wake.L, down.wake.L = mu, mu
	return client, server
}

// way is one direction of a connection.
type way struct {
	rnd     *rand.Rand
	latency time.Duration
	limit   int // bytes; 0: none
	wake    sync.Cond
	pieces  []piece
	bytes   int
	last    time.Time // when the newest piece arrives
	ended   bool      // nothing comes behind pieces
	held    bool      // nothing arrives
}

type piece struct {
	data []byte
	at   time.Time // when it arrives
}

// Conn is one end of a connection: a net.Conn.
type Conn struct {
	mu      *sync.Mutex // of both ends
	peer    *Conn
	in, out *way
	name    string
	closed  bool
	broken  bool

	readBy, writeBy time.Time // deadlines; zero: none
}

// wait waits for a change of w, or for the earliest of the times that are not zero.
func (w *way) wait(until ...time.Time) {
	until = slices.DeleteFunc(until, time.Time.IsZero)
	if len(until) > 0 {
		t := time.AfterFunc(time.Until(slices.MinFunc(until, time.Time.Compare)), func() {
			w.wake.L.Lock()
			defer w.wake.L.Unlock()
			w.wake.Broadcast()
		})
		defer t.Stop()
	}
	w.wake.Wait()
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "sim", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var next time.Time
		switch {
		case c.closed:
			return 0, c.failed("read", net.ErrClosed)
		case c.broken:
			return 0, c.failed("read", syscall.ECONNRESET)
		case passed(c.readBy):
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case c.in.held:
		case len(c.in.pieces) > 0:
			if next = c.in.pieces[0].at; passed(next) {
				return c.in.take(p), nil
			}
		case c.in.ended:
			return 0, io.EOF
		}
		c.in.wait(next, c.readBy)
	}
}

// take moves what has arrived to p.
func (w *way) take(p []byte) (n int) {
	for len(w.pieces) > 0 && passed(w.pieces[0].at) && n < len(p) {
		first := &w.pieces[0]
		m := copy(p[n:], first.data)
		n += m
		if first.data = first.data[m:]; len(first.data) == 0 {
			w.pieces = w.pieces[1:]
		}
	}
	w.bytes -= n
	w.wake.Broadcast()
	return n
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, c.failed("write", net.ErrClosed)
		case c.broken:
			return n, c.failed("write", syscall.ECONNRESET)
		case c.peer.closed:
			return n, c.failed("write", syscall.EPIPE)
		case passed(c.writeBy):
			return n, c.failed("write", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return n, nil
		}
		room := len(p)
		if c.out.limit > 0 {
			room = min(room, c.out.limit-c.out.bytes)
		}
		if room > 0 {
			c.out.put(p[:room])
			p, n = p[room:], n+room
			continue
		}
		c.out.wait(c.writeBy)
	}
}

// put sends data, in one piece or in two.
func (w *way) put(data []byte) {
	w.bytes += len(data)
	data = append([]byte(nil), data...)
	if len(data) > 1 && w.rnd.IntN(4) == 0 {
		at := 1 + w.rnd.IntN(len(data)-1)
		w.send(data[:at])
		data = data[at:]
	}
	w.send(data)
	w.wake.Broadcast()
}

func (w *way) send(data []byte) {
	at := time.Now()
	if w.latency > 0 {
		at = at.Add(time.Duration(w.rnd.Int64N(int64(w.latency))))
	}
	if at.Before(w.last) {
		at = w.last
	}
	w.last = at
	w.pieces = append(w.pieces, piece{data, at})
}

// Close implements net.Conn. The other end still gets what was written.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("close", net.ErrClosed)
	}
	c.closed = true
	c.out.ended = true
	c.in.pieces, c.in.bytes = nil, 0
	c.notify()
	return nil
}

func (c *Conn) notify() {
	c.in.wake.Broadcast()
	c.out.wake.Broadcast()
}

// Cut breaks the connection: both ends get an error, and what is on the way is lost.
func (c *Conn) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.peer.broken = true, true
	c.in.pieces, c.out.pieces = nil, nil
	c.notify()
}

// Hold stops the connection without a word to either end, or lets it go on.
func (c *Conn) Hold(held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.held, c.out.held = held, held
	c.notify()
}

// Ended tells whether the other end has closed the connection, or it is broken.
func (c *Conn) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken || c.peer.closed
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	c.notify()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = t
	c.notify()
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return addr(c.name) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return addr(c.peer.name) }

type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }
