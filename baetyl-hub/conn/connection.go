package conn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/stall"
)

// connection is one network connection. The goroutine of Serve reads it, closes it, and owns the fields without other
// comment.
//
//	      Send of the core           all is written
//	idle ──────────────────► sending ──────────────► idle     broken: a write has failed, or it is closed
//	                            └── write fails ───► broken
type connection struct {
	s         *Server
	conn      net.Conn
	line      *stall.Conn // conn, or what carries it: the timeouts of writes, and of reads but over plain TCP
	client    *core.Client
	in        reader
	keepAlive time.Duration // the client must send something within this time; 0: no limit
	last      time.Duration // when it has sent something, by Server.moment
	queue     *queue        // of its user
	expected  int           // bytes before the login for which expect was asked
	timed     bool          // a read deadline is set
	idle      bool          // it is for a client that has sent nothing for idleAfter
	broken    bool          // nothing is written any more; guarded by s.mu
	stopped   atomic.Bool   // it has to end: what is sent has finalFlush from then on

	put   func(fd uintptr) // of the one who sends, as the next
	taken int              // bytes of sending that put has written

	// guarded by s.mu
	sending []byte        // what is being written; nil: nothing
	failed  error         // of a write
	paused  chan struct{} // the reader waits for its close; nil: it does not
	drained chan struct{} // as paused, for the end of what is being written
	awaited chan struct{} // a CONNECT of the same client waits for its close; nil: none does
}

// RemoteAddr implements core.Handle.
func (c *connection) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// finalFlush is how long a connection that ends may take to write what the core has sent. A slow reader must not delay
// a takeover or the hub's end for long.
const finalFlush = time.Second

// idleAfter is how long a client must send nothing until it counts as idle. Its goroutine has a large stack until then.
// A variable for tests.
var idleAfter = 10 * time.Second

var errIdle = errors.New("idle")

// Serve takes a connection, which goes on until it ends or Close. cert is the client's verified certificate, nil if it
// has none.
func (s *Server) Serve(conn net.Conn, cert *x509.Certificate) {
	c := &connection{s: s, conn: conn, line: stall.Of(conn), queue: s.queueOf("")}
	if c.line == nil {
		c.line = stall.New(conn)
		c.conn = c.line
	}
	c.line.SetWriteTimeout(s.o.WriteTimeout)
	c.in = reader{limit: s.o.PacketMax}
	c.client = core.NewClient(c)
	s.lock()
	accepted := s.core.Open(c.client)
	if accepted {
		s.open++
	}
	s.carry(s.unlock(0))
	if !accepted {
		_ = conn.Close()
		return
	}
	if tcp := plain(conn); tcp != nil {
		c.in.direct, _ = tcp.SyscallConn()
		c.in.get = c.in.fill
		stall.LimitUnsent(tcp)
	}
	if err := c.connect(cert); err != nil {
		c.end(err)
		return
	}
	if c.in.direct != nil {
		c.last = s.moment()
		c.setDeadline(idleAfter)
		c.in.shy = len(c.in.unread()) == 0
	} else {
		_ = c.conn.SetReadDeadline(time.Time{})
		c.line.SetReadTimeout(c.keepAlive) // [MQTT-3.1.2-24]
	}
	go c.serve()
}

// serve gives the core what the client sends, until the connection ends. It runs on a new goroutine, whose stack is
// small, and after a while without packets on another one: those who send nothing are many.
func (c *connection) serve() {
	for {
		for len(c.in.unread()) > 0 && c.receive() {
		}
		err := c.await()
		if errors.Is(err, errIdle) {
			go c.serve()
			return
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// await reads more of the stream.
//
// A deadline for each read would take time of busy clients. So one is set in advance, and when it comes it is seen what
// the client has sent meanwhile. A WebSocket does not survive a deadline: there the line has a timeout.
func (c *connection) await() error {
	for {
		if c.in.direct != nil && !c.timed {
			c.setDeadline(idleAfter)
		}
		if c.stopped.Load() {
			return net.ErrClosed
		}
		err := c.in.read(c.conn)
		switch {
		case err == nil:
			c.last = c.s.moment()
			c.timed, c.idle = c.timed && !c.idle, false
			return nil
		case !timedOut(err):
			return err
		case c.in.direct == nil:
			return core.ErrKeepAlive
		}
		quiet := c.s.moment() - c.last
		switch {
		case c.keepAlive > 0 && quiet >= c.keepAlive:
			return core.ErrKeepAlive // [MQTT-3.1.2-24]
		case quiet < idleAfter:
			c.setDeadline(idleAfter)
		default:
			c.idle = true
			c.setDeadline(c.keepAlive)
			if c.in.shy = len(c.in.unread()) == 0; c.in.shy {
				return errIdle
			}
		}
	}
}

// setDeadline lets read end when the client has sent nothing for d, or for the keep alive time if that is less. 0 is
// for ever.
func (c *connection) setDeadline(d time.Duration) {
	if c.keepAlive > 0 {
		d = min(d, c.keepAlive)
	}
	at := time.Time{}
	if d > 0 {
		at = c.s.epoch.Add(c.last + d)
	}
	c.timed = true
	_ = c.conn.SetReadDeadline(at)
}

// receive gives the core what is read. The result is true if there may be more to give: the core did not want more for
// a while, which is over, or others are to have their turn.
func (c *connection) receive() bool {
	s, q := c.s, c.queue
	q.Lock()
	s.lock()
	began, shared := time.Now(), s.shared(q)
	s.core.Share(shared)
	used := s.core.Receive(c.client, c.in.unread())
	c.in.take(used)
	paused := c.pause()
	records := alone
	if c.in.more() {
		records = 0
	}
	fx := s.unlock(records)
	stores := fx.batch != nil
	if !stores {
		s.carry(fx)
	}
	q.work(time.Since(began), shared)
	q.Unlock()
	if stores { // the disk takes no time of others
		s.carry(fx)
	}
	waits := paused != nil || stores
	if paused != nil {
		<-paused
	}
	if waits {
		c.last = s.moment() // what it has sent meanwhile is not read yet
	}
	return paused != nil || used > 0 && c.in.whole()
}

// pause returns a channel that is closed when the client may go on, nil if it may now. It runs with s.mu held, and
// unlock follows.
func (c *connection) pause() chan struct{} {
	if c.broken || !c.client.Paused() {
		return nil
	}
	c.paused = make(chan struct{})
	return c.paused
}

// resume lets the reader go on. It runs with s.mu held.
func (c *connection) resume() {
	if c.paused != nil {
		close(c.paused)
		c.paused = nil
	}
}

// drain wakes the reader if it waits for the end of what was being written. It runs with s.mu held.
func (c *connection) drain() {
	if c.drained != nil && c.sending == nil {
		close(c.drained)
		c.drained = nil
	}
}

// stop makes the reader end the connection; what is sent has finalFlush. It does not wait.
func (c *connection) stop() {
	if c.stopped.Swap(true) {
		return
	}
	now := time.Now()
	c.line.EndBy(now, now.Add(finalFlush))
}

// end closes the connection when all is written that the core has sent, or after finalFlush.
func (c *connection) end(err error) {
	s := c.s
	c.stop()
	s.mu.Lock()
	for c.sending != nil {
		c.drained = make(chan struct{})
		drained := c.drained
		s.mu.Unlock()
		<-drained
		s.mu.Lock()
	}
	if c.failed != nil {
		err = fmt.Errorf("write: %w", c.failed)
		if timedOut(c.failed) {
			err = core.ErrWriteTimeout
		}
	}
	abort := c.failed != nil
	c.broken = true
	s.mu.Unlock()
	c.close(abort)
	c.in.release()
	s.lock()
	s.core.Closed(c.client, err)
	if c.awaited != nil {
		close(c.awaited)
	}
	s.open--
	s.left.Broadcast()
	s.carry(s.unlock(0))
}

// writeNow writes what the socket takes without waiting, and returns the number of bytes. An error is met again by
// write.
func (c *connection) writeNow(data []byte) int {
	if c.in.direct == nil || c.stopped.Load() {
		return 0
	}
	if c.put == nil {
		c.put = func(fd uintptr) { c.taken, _ = syscall.Write(int(fd), c.sending) }
	}
	c.taken = 0
	_ = c.in.direct.Control(c.put)
	return max(c.taken, 0)
}

// write is a goroutine that writes data, the rest of sending, and what the core sends meanwhile.
func (c *connection) write(data []byte) {
	s := c.s
	for data != nil {
		if _, err := c.conn.Write(data); err != nil {
			s.lock()
			c.fail(err)
			s.startWriters(s.unlock(0))
			c.stop()
			return
		}
		fx := s.report(c)
		if fx == nil {
			return // another writer follows if there is more
		}
		data = fx.takeSend(c)
		s.startWriters(fx)
	}
}

// fail ends what is being written, after an error. It runs with s.mu held.
func (c *connection) fail(err error) {
	c.sending, c.broken, c.failed = nil, true, err
	c.drain()
	c.resume()
}
