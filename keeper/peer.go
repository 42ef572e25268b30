//go:build unix

package keeper

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// peer is the connection to one master.
type peer struct {
	s    *Server
	conn *net.UnixConn
	in   incoming
	dead bool // the master has ended; of the loop
	// closed when nothing more is read, when nothing more is sent, and by halt
	read, wrote, halting chan struct{}

	mu     sync.Mutex // guards the following
	queue  []outgoing
	wake   chan struct{} // holds one: there is something to send; when it is full, that is known already
	closed bool          // nothing is sent any more
}

// outgoing is a frame, or the rest of one, and descriptors, which are closed when they have been sent.
type outgoing struct {
	bytes []byte
	files []int
}

// maxQueue bounds what a master that does not read may leave: its connection is closed then, so that it ends.
const maxQueue = 4096

// attach serves the master at the other end of conn.
func (s *Server) attach(conn *net.UnixConn) *peer {
	s.detach()
	s.peer = newPeer(s, conn, incoming{conn: conn}, nil)
	return s.peer
}

func newPeer(s *Server, conn *net.UnixConn, in incoming, unsent []outgoing) *peer {
	p := &peer{s: s, conn: conn, in: in, queue: unsent, wake: make(chan struct{}, 1)}
	p.resume()
	return p
}

// resume reads and sends, at the start and after halt.
func (p *peer) resume() {
	_ = p.conn.SetDeadline(time.Time{})
	p.read, p.wrote, p.halting = make(chan struct{}), make(chan struct{}), make(chan struct{})
	go p.receive(p.read, p.halting) // ends with the connection, or with halt
	go p.transmit(p.wrote, p.halting)
	p.signal()
}

// halt stops reading and sending. What was read and not answered, and what has not been sent, stays. The loop calls it.
func (p *peer) halt() {
	close(p.halting)
	_ = p.conn.SetDeadline(time.Now())
	<-p.read
	<-p.wrote
}

// detach ends the connection to the master. What it has asked to start, and was not answered, is given up.
func (s *Server) detach() {
	for _, h := range s.processes {
		if h.starting {
			h.unwanted.Store(true)
		}
	}
	if s.peer != nil {
		s.peer.close()
		s.peer = nil
	}
}

func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.conn.Close()
	p.signal()
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// receive passes requests on to the loop until the connection ends, or halt. A request that the loop has not taken by
// then is read again.
func (p *peer) receive(done chan<- struct{}, halting <-chan struct{}) {
	defer close(done)
	for {
		text, files, err := p.in.next()
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				p.in.drop()
			}
			return
		}
		var r Request
		if json.Unmarshal(text, &r) != nil {
			closeAll(files)
			p.in.drop()
			_ = p.conn.Close()
			return
		}
		select {
		case p.s.calls <- func() { p.answer(r, files) }:
		case <-halting:
			p.in.putBack(text, files)
			return
		case <-p.s.ended:
			closeAll(files)
			p.in.drop()
			return
		}
	}
}

// answer carries out a request. The loop calls it.
func (p *peer) answer(r Request, files []int) {
	defer func() { closeAll(files) }()
	if p.s.peer != p { // a master that has been replaced
		return
	}
	if err := p.s.call(p, r, files); !errors.Is(err, errLater) {
		p.fail(r.ID, err)
	}
}

func (p *peer) fail(id uint64, err error) {
	r := Reply{ID: id}
	if err != nil {
		r.Error = err.Error()
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Errno = int(errno)
		}
	}
	p.reply(r)
}

func (p *peer) reply(r Reply) { p.send(r, nil) }

// send queues a Reply or an Event. It never waits.
func (p *peer) send(v any, files []int) {
	frame, err := encode(v, len(files))
	if err != nil {
		p.s.log("error", "answer the master: %v", err)
		closeAll(files)
		return
	}
	p.mu.Lock()
	full := len(p.queue) >= maxQueue
	if !full && !p.closed {
		p.queue = append(p.queue, outgoing{frame, files})
		files = nil
	}
	p.mu.Unlock()
	closeAll(files)
	if full {
		p.close()
	}
	p.signal()
}

// transmit sends what is queued until the connection ends or a deadline is set. What has not left by a deadline stays
// in the queue; when the other side is gone it is dropped. What that has said before can be read still.
func (p *peer) transmit(done chan<- struct{}, halting <-chan struct{}) {
	defer close(done)
	for {
		select {
		case <-p.wake:
		case <-halting:
			return
		}
		for {
			p.mu.Lock()
			if p.closed {
				p.drop()
				p.mu.Unlock()
				return
			}
			if len(p.queue) == 0 {
				p.mu.Unlock()
				break
			}
			first := p.queue[0]
			p.mu.Unlock()
			n, err := send(p.conn, first.bytes, first.files)
			p.mu.Lock()
			if n > 0 { // the descriptors went with the first byte
				closeAll(first.files)
				p.queue[0] = outgoing{bytes: first.bytes[n:]}
			}
			if n == len(first.bytes) {
				p.queue = p.queue[1:]
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				p.closed = true
				p.drop()
			}
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

// drop closes what will not be sent. The caller holds mu.
func (p *peer) drop() {
	for _, o := range p.queue {
		closeAll(o.files)
	}
	p.queue = nil
}
