package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// reader holds what a connection has sent and the core has not taken yet. While there is much to read, it borrows a
// large buffer, so that a busy connection makes few system calls. Over plain TCP it has no buffer while it waits, or
// one that holds no more than the beginning of a packet; elsewhere it waits with a small buffer.
type reader struct {
	limit   int // largest packet, in bytes, header included
	buf     []byte
	r, w    int // buf[r:w] is read and not taken
	borrows *[]byte

	direct syscall.RawConn       // of conn, if it is plain TCP; else nil
	get    func(fd uintptr) bool // fill
	failed error                 // of fill
	shy    bool                  // fill begins with first, so that the stack of a new goroutine stays small
	first  [8]byte
}

const (
	smallBuffer = 512
	largeBuffer = 64 << 10
	// smallRest is the largest part of a packet that a connection keeps in a buffer of its size: see core, buffered.
	smallRest = 4 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

// unread returns what is read and not taken. It is valid until the next read.
func (r *reader) unread() []byte { return r.buf[r.r:r.w] }

// take removes the first n bytes of unread.
func (r *reader) take(n int) { r.r += n }

// more tells whether there is more to take, or probably to read.
func (r *reader) more() bool { return len(r.unread()) > 0 || r.w == len(r.buf) }

// frame takes the next packet, nil if it is not complete. It is for CONNECT: the core splits what follows.
func (r *reader) frame() ([]byte, error) {
	size, err := r.size()
	if err != nil || size == 0 || r.w-r.r < size {
		return nil, err
	}
	frame := r.buf[r.r : r.r+size]
	r.take(size)
	return frame, nil
}

// whole tells whether there is a packet to take, or a wrong one.
func (r *reader) whole() bool {
	size, err := r.size()
	return err != nil || size > 0 && r.w-r.r >= size
}

// size returns the length in bytes of the packet at r, 0 if its header is not complete.
func (r *reader) size() (int, error) { return core.PacketSize(r.unread(), r.limit) }

// read reads more of the stream from conn; it blocks for at least one byte.
func (r *reader) read(conn net.Conn) error {
	if r.direct != nil {
		return r.readDirect()
	}
	r.fit()
	n, err := conn.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// fit makes room in the buffer: it moves the unread bytes to the front, and changes between the sizes.
func (r *reader) fit() {
	left := r.w - r.r
	need, _ := r.size()
	full := r.w == len(r.buf) // the last read took all it could: there is more
	switch {
	case need > largeBuffer && need > len(r.buf):
		r.move(make([]byte, need), nil)
	case len(r.buf) < largeBuffer && (full && len(r.buf) > 0 || need > len(r.buf)):
		r.borrow()
	case len(r.buf) > smallBuffer && !full && left == 0:
		r.move(make([]byte, smallBuffer), nil)
	case len(r.buf) == 0:
		r.buf = make([]byte, smallBuffer)
	default:
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, left
	}
}

// readDirect is read for plain TCP.
func (r *reader) readDirect() error {
	r.failed = nil
	if err := r.direct.Read(r.get); err != nil {
		return err
	}
	return r.failed
}

// fill reads what the socket has. It returns false if that is nothing: then it is called again when there is something.
func (r *reader) fill(fd uintptr) bool {
	if r.shy {
		r.shy = false
		r.buf, r.r, r.w = r.first[:], 0, 0
	} else {
		r.widen()
	}
	for {
		n, err := syscall.Read(int(fd), r.buf[r.w:])
		switch {
		case n > 0:
			r.w += n
		case err == nil:
			r.failed = io.EOF
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			r.narrow()
			return false
		default:
			r.failed = os.NewSyscallError("read", err)
		}
		return true
	}
}

// widen makes room for much.
func (r *reader) widen() {
	need, _ := r.size()
	switch left := r.w - r.r; {
	case need > largeBuffer && need > len(r.buf):
		r.move(make([]byte, need), nil)
	case len(r.buf) < largeBuffer:
		r.borrow()
	case r.r > 0:
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, left
	}
}

// narrow keeps no more memory than it must for what is left.
func (r *reader) narrow() {
	switch left := r.w - r.r; {
	case left == 0:
		r.release()
	case left <= smallRest && len(r.buf) > smallRest:
		r.move(make([]byte, left), nil)
	}
}

func (r *reader) borrow() {
	b := buffers.Get().(*[]byte)
	r.move(*b, b)
}

func (r *reader) move(to []byte, borrowed *[]byte) {
	n := copy(to, r.buf[r.r:r.w])
	r.release()
	r.buf, r.w, r.borrows = to, n, borrowed
}

// release gives the buffer back.
func (r *reader) release() {
	if r.borrows != nil {
		buffers.Put(r.borrows)
	}
	r.buf, r.r, r.w, r.borrows = nil, 0, 0, nil
}
