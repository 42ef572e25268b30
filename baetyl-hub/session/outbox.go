package session

import (
	"net"
	"sync"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// outbox collects what a connection has to send, so that many packets leave in one write.
//
//	Append ─► pending ─► Wake ─► writer: takes all that is pending, one write, again while there is more, ends
//
// The writer is a goroutine that lives only while there is something to send: an idle connection has none. Nobody but the writer
// ever waits for the socket.
type outbox struct {
	conn    net.Conn
	timeout time.Duration // of one write; a reader that takes nothing for that long is cut off
	drop    func()        // counts a dropped QoS 0 message
	limits  outboxLimits

	mu      sync.Mutex
	pending []byte         // not yet taken by the writer
	spare   []byte         // the writer's other buffer
	loose   int            // QoS 0 messages in pending
	noted   bool           // a Waker holds the outbox, or the writer runs
	ending  bool           // nothing more is taken; what is pending may still be written
	closed  bool           // nothing more is written
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

// sendLoose appends a QoS 0 message, or drops it if too much waits already.
func (o *outbox) sendLoose(frame []byte, w *router.Waker) {
	o.mu.Lock()
	if o.ending {
		o.mu.Unlock()
		return
	}
	if o.loose >= o.limits.messages || len(o.pending)+len(frame) > o.limits.bytes {
		o.mu.Unlock()
		o.drop()
		return
	}
	o.loose++
	o.pending = append(o.pending, frame...)
	o.note(w)
	o.mu.Unlock()
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

// Wake starts the writer. It is called once for each note.
func (o *outbox) Wake() { go o.write() }

func (o *outbox) write() {
	defer o.done.Done()
	for {
		o.mu.Lock()
		if len(o.pending) == 0 || o.closed {
			o.noted = false
			if cap(o.spare) > keep {
				o.spare = nil
			}
			if cap(o.pending) > keep {
				o.pending = nil
			}
			o.mu.Unlock()
			return
		}
		buf, timeout := o.pending, o.timeout
		o.pending, o.spare, o.loose = o.spare[:0], nil, 0
		o.mu.Unlock()
		if timeout > 0 {
			_ = o.conn.SetWriteDeadline(time.Now().Add(timeout))
		}
		_, err := o.conn.Write(buf)
		o.mu.Lock()
		o.spare = buf[:0]
		if err != nil {
			o.ending, o.closed = true, true
		}
		o.mu.Unlock()
		if err != nil {
			_ = o.conn.Close() // wakes the read loop, which ends the session
		}
	}
}

// finish sends what is pending if flush is set, closes the connection and waits for the writer. Wakers that hold the outbox must
// not depend on the caller.
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
