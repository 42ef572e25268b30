package session

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// writeQueue collects the packets that a connection has to send, so that many of them leave in one write.
//
//	send, sendQOS0 ─► pending, and note: into the sender's Batch ─Flush─► Wake
//
//	Wake ─┬─ few bytes, plain TCP, few others to wake: writeNow, done if the socket takes all of it
//	      └─ else: write, on a goroutine: one write of all that is pending, again while there is more
//
// write runs on a goroutine that exists only while there is something to send: an idle connection has none. Only that
// goroutine waits for the socket. A publisher whose receivers are all congested waits for it in Drain.
type writeQueue struct {
	conn    net.Conn
	direct  syscall.RawConn // of conn, if it is plain TCP; else nil
	timeout time.Duration   // of one write; then the connection is closed
	drop    func(n int)     // counts dropped QoS 0 messages
	limits  writeLimits

	mu      sync.Mutex
	pending []byte         // not yet taken by the writer
	spare   []byte         // the writer's other buffer
	qos0    int            // QoS 0 messages in pending
	noted   bool           // a Batch holds the queue, or the writer runs
	ending  bool           // no more packets are accepted; pending may still be written
	closed  bool           // no more bytes are written
	room    chan struct{}  // closed when the writer takes pending; nil: no Drain waits
	since   time.Time      // start of the current write; zero: none
	done    sync.WaitGroup // counts noted
}

// writeLimits bound the memory that a slow reader takes.
type writeLimits struct {
	messages int // QoS 0 messages in pending; more are dropped
	bytes    int // in pending when a QoS 0 message comes; if there are more it is dropped
	hard     int // bytes in pending; more close the connection
}

// keep is the size in bytes of the largest buffer that an idle queue keeps, and of the largest that Wake writes at
// once.
const keep = 4 << 10

// sendQOS0 appends n QoS 0 packets, or drops them if too much is pending. It tells whether the queue is congested.
func (q *writeQueue) sendQOS0(frames []byte, n int, batch *router.Batch) bool {
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

// congested tells whether more than half of the limit is pending. It runs with q.mu held.
func (q *writeQueue) congested() bool {
	return q.qos0 > q.limits.messages/2 || len(q.pending) > q.limits.bytes/2
}

// drainTimeout is how long a write may take before Drain no longer waits for it.
const drainTimeout = time.Second

// Drain implements router.Congested. It waits until the writer has taken what is pending, or until its write has lasted
// for drainTimeout. So a publisher whose receivers are all congested sends as fast as one of them reads.
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

// send appends a packet, which encode adds to the buffer. It is never dropped: over the hard limit the connection is
// closed.
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

// note adds the queue to batch, unless it is in one or the writer runs. It runs with q.mu held.
func (q *writeQueue) note(batch *router.Batch) {
	if !q.noted {
		q.noted = true
		q.done.Add(1)
		batch.Add(q)
	}
}

// Wake implements router.Writer: it writes a few bytes at once if the socket takes them, else it starts the writer. It
// is called once for each note.
func (q *writeQueue) Wake(alone bool) {
	if !alone || q.direct == nil || !q.writeNow() {
		go q.write()
	}
}

// writeNow writes what is pending if that is at most keep and the socket takes it without waiting. It tells whether
// nothing is left to write.
func (q *writeQueue) writeNow() bool {
	q.mu.Lock()
	if len(q.pending) > keep || q.closed {
		q.mu.Unlock()
		return false
	}
	qos0, buf := q.qos0, q.take()
	q.mu.Unlock()
	n := 0
	_ = q.direct.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), buf) }) // the writer meets an error again
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

// write is the writer. It ends when nothing is pending.
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

// swap takes back the buffer that the writer has written, with the error of the write, and returns the next one. If it
// returns nil the writer ends.
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

// finish sends what is pending if flush is set, closes the connection and waits for the writer. If another goroutine's
// Batch holds the queue, finish waits for its Flush, which therefore must not wait for the caller.
func (q *writeQueue) finish(flush bool) {
	var batch router.Batch
	q.mu.Lock()
	if flush && !q.closed {
		// A slow reader must not delay a takeover or a shutdown for long.
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

// direct returns the socket of a plain TCP connection; nil for TLS and WebSocket, whose bytes are not those of MQTT.
func direct(conn net.Conn) syscall.RawConn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
