package session

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// outbox collects what a connection has to send, so that many packets leave in one write.
//
//	sendLoose, send ─► pending ─► note: into the sender's Waker ─Flush─► Wake ─┬─ a little, and the socket takes it: written
//	                                                                           └─ writer: one write of all that is pending,
//	                                                                              again while there is more, ends
//
// The writer is a goroutine that lives only while there is something to send: an idle connection has none. Nobody but
// the writer waits for the socket; who floods crowded readers alone waits for the writer, in Drain.
type outbox struct {
	conn    net.Conn
	direct  syscall.RawConn // of conn, if bytes written there are bytes of the protocol; else nil
	timeout time.Duration   // of one write; a reader that takes nothing for that long is cut off
	drop    func(n int)     // counts dropped QoS 0 messages
	limits  outboxLimits

	// Publishers take publishers before mu: a hundred may wait for one subscriber, and the writer must not queue behind
	// them.
	publishers sync.Mutex

	mu      sync.Mutex
	pending []byte         // not yet taken by the writer
	spare   []byte         // the writer's other buffer
	loose   int            // QoS 0 messages in pending
	noted   bool           // a Waker holds the outbox, or the writer runs
	ending  bool           // nothing more is taken; what is pending may still be written
	closed  bool           // nothing more is written
	room    chan struct{}  // closed when the writer takes what is pending; nil: nobody waits
	since   time.Time      // start of the write under way; zero: there is none
	done    sync.WaitGroup // the writer
}

// outboxLimits bound the memory that a slow reader costs.
type outboxLimits struct {
	messages int // QoS 0 messages that wait; more are dropped
	bytes    int // of QoS 0 messages that wait; more are dropped
	hard     int // bytes that wait in all; more close the connection
}

// keep is the largest buffer that an outbox keeps when it has nothing to send.
const keep = 4 << 10

// sendLoose appends n QoS 0 messages, or drops them if too much waits already. It tells whether the outbox is crowded.
func (o *outbox) sendLoose(frames []byte, n int, w *router.Waker) bool {
	o.publishers.Lock()
	defer o.publishers.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return false
	}
	if o.loose+n > o.limits.messages || len(o.pending)+len(frames) > o.limits.bytes {
		o.drop(n) // an atomic counter
		return true
	}
	o.loose += n
	o.pending = append(o.pending, frames...)
	o.note(w)
	return o.crowded()
}

// crowded runs with o.mu held.
func (o *outbox) crowded() bool {
	return o.loose > o.limits.messages/2 || len(o.pending) > o.limits.bytes/2
}

// patience is how long a write may take before its reader counts as dead and is not waited for.
const patience = time.Second

// Drain waits until the writer has taken what is pending, or the reader turns out to be dead. Who sends to crowded
// readers alone is so held to the pace of the first of them.
func (o *outbox) Drain() {
	o.mu.Lock()
	left := patience
	if !o.since.IsZero() {
		left -= time.Since(o.since)
	}
	if !o.crowded() || o.ending || left <= 0 {
		o.mu.Unlock()
		return
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	room := o.room
	o.mu.Unlock()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-room:
	case <-t.C:
	}
}

// send appends what encode adds to the buffer; it is not dropped. A connection over its hard limit is closed.
func (o *outbox) send(w *router.Waker, encode func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return
	}
	o.pending = encode(o.pending)
	if len(o.pending) > o.limits.hard {
		o.ending, o.closed = true, true
		o.pending = nil
		_ = o.conn.Close() // the read loop ends the session
		return
	}
	o.note(w)
}

// note runs with o.mu held.
func (o *outbox) note(w *router.Waker) {
	if !o.noted {
		o.noted = true
		o.done.Add(1)
		w.Add(o)
	}
}

// Wake implements router.Writer: it writes a little at once if the socket takes it, else starts the writer. It is
// called once for each note.
func (o *outbox) Wake(alone bool) {
	if !alone || o.direct == nil || !o.writeNow() {
		go o.write()
	}
}

// writeNow writes what is pending if it is little and the socket takes it without waiting. It tells whether nothing
// is left to write.
func (o *outbox) writeNow() bool {
	o.mu.Lock()
	if len(o.pending) > keep || o.closed {
		o.mu.Unlock()
		return false
	}
	loose, buf := o.loose, o.take()
	o.mu.Unlock()
	n := 0
	_ = o.direct.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), buf) }) // an error comes up again in the writer
	o.mu.Lock()
	defer o.mu.Unlock()
	if n = max(n, 0); n < len(buf) {
		o.pending, o.loose = append(append(buf[:0], buf[n:]...), o.pending...), o.loose+loose
		return false
	}
	o.spare = buf[:0]
	if len(o.pending) > 0 {
		return false
	}
	o.noted = false
	o.done.Done()
	return true
}

// take empties pending. It runs with o.mu held.
func (o *outbox) take() []byte {
	buf := o.pending
	o.pending, o.spare, o.loose = o.spare[:0], nil, 0
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return buf
}

func (o *outbox) write() {
	defer o.done.Done()
	for buf, timeout := o.swap(nil, nil); buf != nil; {
		if timeout > 0 {
			_ = o.conn.SetWriteDeadline(time.Now().Add(timeout))
		}
		_, err := o.conn.Write(buf)
		if err != nil {
			_ = o.conn.Close() // wakes the read loop, which ends the session
		}
		buf, timeout = o.swap(buf, err)
	}
}

// swap gives the writer what is pending for the buffer that it has written, with err. Without a buffer the writer ends.
func (o *outbox) swap(written []byte, err error) (buf []byte, timeout time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = time.Time{}
	if written != nil {
		o.spare = written[:0]
	}
	if err != nil {
		o.ending, o.closed = true, true
	}
	if len(o.pending) == 0 || o.closed {
		o.noted = false
		if cap(o.spare) > keep {
			o.spare = nil
		}
		if cap(o.pending) > keep {
			o.pending = nil
		}
		return nil, 0
	}
	o.since = time.Now()
	return o.take(), o.timeout
}

// finish sends what is pending if flush is set, closes the connection and waits for the writer. Wakers that hold the
// outbox must not depend on the caller.
func (o *outbox) finish(flush bool) {
	var w router.Waker
	o.mu.Lock()
	if flush && !o.closed {
		// What is left must not hold up a takeover or a shutdown.
		o.timeout = time.Second
		_ = o.conn.SetWriteDeadline(time.Now().Add(time.Second))
		if len(o.pending) > 0 {
			o.note(&w)
		}
	} else {
		o.closed = true
		_ = o.conn.Close()
	}
	o.ending = true
	o.mu.Unlock()
	w.Flush()
	o.done.Wait()
	_ = o.conn.Close()
}

// direct returns the way to the socket of a connection that has nothing between its bytes and the socket's, nil for
// others.
func direct(conn net.Conn) syscall.RawConn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
