package session

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// write queue collects what a connection has to send, so that many packets leave in one write.
//
//	sendQOS0, send ─► pending ─► note: into the sender's Batch ─Flush─► Wake ─┬─ a little, and the socket takes it: written
//	                                                                           └─ writer: one write of all that is pending,
//	                                                                              again while there is more, ends
//
// The writer is a goroutine that lives only while there is something to send: an idle connection has none. Nobody but
// the writer waits for the socket; who floods congested readers alone waits for the writer, in Drain.
type writeQueue struct {
	conn    net.Conn
	direct  syscall.RawConn // of conn, if bytes written there are bytes of the protocol; else nil
	timeout time.Duration   // of one write; a reader that takes nothing for that long is cut off
	drop    func(n int)     // counts dropped QoS 0 messages
	limits  writeLimits

	// Publishers take publishers before mu: a hundred may wait for one subscriber, and the writer must not queue behind
	// them.
	publishers sync.Mutex

	mu      sync.Mutex
	pending []byte         // not yet taken by the writer
	spare   []byte         // the writer's other buffer
	qos0    int            // QoS 0 messages in pending
	noted   bool           // a Batch holds the write queue, or the writer runs
	ending  bool           // nothing more is taken; what is pending may still be written
	closed  bool           // nothing more is written
	room    chan struct{}  // closed when the writer takes what is pending; nil: nobody waits
	since   time.Time      // start of the write under way; zero: there is none
	done    sync.WaitGroup // the writer
}

// writeLimits bound the memory that a slow reader costs.
type writeLimits struct {
	messages int // QoS 0 messages that wait; more are dropped
	bytes    int // of QoS 0 messages that wait; more are dropped
	hard     int // bytes that wait in all; more close the connection
}

// keep is the largest buffer that an write queue keeps when it has nothing to send.
const keep = 4 << 10

// sendQOS0 appends n QoS 0 messages, or drops them if too much waits already. It tells whether the write queue is congested.
func (q *writeQueue) sendQOS0(frames []byte, n int, batch *router.Batch) bool {
	q.publishers.Lock()
	defer q.publishers.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending {
		return false
	}
	if q.qos0+n > q.limits.messages || len(q.pending)+len(frames) > q.limits.bytes {
		q.drop(n) // an atomic counter
		return true
	}
	q.qos0 += n
	q.pending = append(q.pending, frames...)
	q.note(batch)
	return q.congested()
}

// congested runs with q.mu held.
func (q *writeQueue) congested() bool {
	return q.qos0 > q.limits.messages/2 || len(q.pending) > q.limits.bytes/2
}

// drainTimeout is how long a write may take before its reader counts as dead and is not waited for.
const drainTimeout = time.Second

// Drain waits until the writer has taken what is pending, or the reader turns out to be dead. Who sends to congested
// readers alone is so held to the pace of the first of them.
func (q *writeQueue) Drain() {
	q.mu.Lock()
	left := drainTimeout
	if !q.since.IsZero() {
		left -= time.Since(q.since)
	}
	if !q.congested() || q.ending || left <= 0 {
		q.mu.Unlock()
		return
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room := q.room
	q.mu.Unlock()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-room:
	case <-t.C:
	}
}

// send appends what encode adds to the buffer; it is not dropped. A connection over its hard limit is closed.
func (q *writeQueue) send(batch *router.Batch, encode func([]byte) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending {
		return
	}
	q.pending = encode(q.pending)
	if len(q.pending) > q.limits.hard {
		q.ending, q.closed = true, true
		q.pending = nil
		_ = q.conn.Close() // the read loop ends the session
		return
	}
	q.note(batch)
}

// note runs with q.mu held.
func (q *writeQueue) note(batch *router.Batch) {
	if !q.noted {
		q.noted = true
		q.done.Add(1)
		batch.Add(q)
	}
}

// Wake implements router.Writer: it writes a little at once if the socket takes it, else starts the writer. It is
// called once for each note.
func (q *writeQueue) Wake(alone bool) {
	if !alone || q.direct == nil || !q.writeNow() {
		go q.write()
	}
}

// writeNow writes what is pending if it is little and the socket takes it without waiting. It tells whether nothing
// is left to write.
func (q *writeQueue) writeNow() bool {
	q.mu.Lock()
	if len(q.pending) > keep || q.closed {
		q.mu.Unlock()
		return false
	}
	qos0, buf := q.qos0, q.take()
	q.mu.Unlock()
	n := 0
	_ = q.direct.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), buf) }) // an error comes up again in the writer
	q.mu.Lock()
	defer q.mu.Unlock()
	if n = max(n, 0); n < len(buf) {
		q.pending, q.qos0 = append(append(buf[:0], buf[n:]...), q.pending...), q.qos0+qos0
		return false
	}
	q.spare = buf[:0]
	if len(q.pending) > 0 {
		return false
	}
	q.noted = false
	q.done.Done()
	return true
}

// take empties pending. It runs with q.mu held.
func (q *writeQueue) take() []byte {
	buf := q.pending
	q.pending, q.spare, q.qos0 = q.spare[:0], nil, 0
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	return buf
}

func (q *writeQueue) write() {
	defer q.done.Done()
	for buf, timeout := q.swap(nil, nil); buf != nil; {
		if timeout > 0 {
			_ = q.conn.SetWriteDeadline(time.Now().Add(timeout))
		}
		_, err := q.conn.Write(buf)
		if err != nil {
			_ = q.conn.Close() // wakes the read loop, which ends the session
		}
		buf, timeout = q.swap(buf, err)
	}
}

// swap gives the writer what is pending for the buffer that it has written, with err. Without a buffer the writer ends.
func (q *writeQueue) swap(written []byte, err error) (buf []byte, timeout time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.since = time.Time{}
	if written != nil {
		q.spare = written[:0]
	}
	if err != nil {
		q.ending, q.closed = true, true
	}
	if len(q.pending) == 0 || q.closed {
		q.noted = false
		if cap(q.spare) > keep {
			q.spare = nil
		}
		if cap(q.pending) > keep {
			q.pending = nil
		}
		return nil, 0
	}
	q.since = time.Now()
	return q.take(), q.timeout
}

// finish sends what is pending if flush is set, closes the connection and waits for the writer. Batches that hold the
// write queue must not depend on the caller.
func (q *writeQueue) finish(flush bool) {
	var batch router.Batch
	q.mu.Lock()
	if flush && !q.closed {
		// What is left must not hold up a takeover or a shutdown.
		q.timeout = time.Second
		_ = q.conn.SetWriteDeadline(time.Now().Add(time.Second))
		if len(q.pending) > 0 {
			q.note(&batch)
		}
	} else {
		q.closed = true
		_ = q.conn.Close()
	}
	q.ending = true
	q.mu.Unlock()
	batch.Flush()
	q.done.Wait()
	_ = q.conn.Close()
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
