package function

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// headerSize is that of a frame: length of the body, number of the call, code.
const headerSize = 4 + 4 + 1

// BodyMax is the largest body of a frame, in bytes, whatever the limit of messages: a longer one is no frame of ours,
// and ends the pipe.
const BodyMax = 1 << 30

// spareMax is the largest buffer, in bytes, that is kept for the next write.
const spareMax = 1 << 20

// Frame is what one side tells the other about one call.
//
//	caller ──► runtime   code OK: a FunctionMessage, begins the call; code Canceled: the caller waits no longer
//	runtime ──► caller   code OK: a FunctionMessage, the answer; any other code of gRPC: the failure, its detail as text
//
// docs/function-pipe.md describes the bytes; testdata/pipe.json has some of each kind, which every implementation is
// tested with.
type Frame struct {
	Call     uint32
	Code     codes.Code
	Body     []byte // until the next Read
	TooLarge int    // length of a body that was read over, since it is larger than the limit
}

// Detail returns the text of a failure. Bytes that are not UTF-8 are replaced by U+FFFD: a gRPC status may not have
// them.
func (f Frame) Detail() string { return strings.ToValidUTF8(string(f.Body), "\ufffd") }

// Pipe carries many calls at once over one connection, in the place of gRPC, which costs a runtime in Python or Node
// several times the work of a call. Send may be used from any goroutine, Read from one.
type Pipe struct {
	Version    int           // of the hello: 2 proves both sides, and calls may wait in the runtime; 1 does neither
	Concurrent int           // calls at once that the runtime handles; its side sets it, the caller's side learns it
	Queue      int           // further calls that may wait in the runtime, as Concurrent; 0 in version 1
	Max        int           // largest FunctionMessage, in bytes; never more than BodyMax
	Timeout    time.Duration // of one write; 0: none

	conn net.Conn
	in   *bufio.Reader
	body []byte

	fill func(out []byte) ([]byte, bool) // see Fill

	mu      sync.Mutex // guards what follows
	out     []byte     // frames that wait for the goroutine that writes
	written sync.Cond  // on mu: a write has ended
	more    bool       // fill has frames
	spare   []byte
	writing bool
	err     error
}

func newPipe(conn net.Conn, in *bufio.Reader, version, concurrent, queue int) *Pipe {
	p := &Pipe{conn: conn, in: in, Max: 4 << 20, Version: version, Concurrent: concurrent, Queue: queue}
	p.written.L = &p.mu
	return p
}

// SendMessage sends a request or an answer. It fails with RESOURCE_EXHAUSTED when m is too large; the pipe is still
// good then.
func (p *Pipe) SendMessage(call uint32, m *FunctionMessage) error {
	size := proto.Size(m)
	if limit := p.limit(); size > limit {
		return TooLarge(size, limit)
	}
	return p.send(func(out []byte) ([]byte, error) {
		return message(out, size, call, m)
	})
}

// Finish closes the pipe when everything is written that was sent.
func (p *Pipe) Finish() {
	p.mu.Lock()
	for p.writing && p.err == nil {
		p.written.Wait()
	}
	p.mu.Unlock()
	p.Close()
}

// Drain waits while more than limit bytes wait to be written, until the pipe ends.
func (p *Pipe) Drain(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) > limit && p.err == nil {
		p.written.Wait()
	}
}

// AppendMessage appends the frame of a request or an answer to out. It fails as SendMessage does, and then appends
// nothing.
func (p *Pipe) AppendMessage(out []byte, call uint32, m *FunctionMessage) ([]byte, error) {
	size := proto.Size(m)
	if limit := p.limit(); size > limit {
		return out, TooLarge(size, limit)
	}
	return message(out, size, call, m)
}

// message appends a frame with m, whose size has just been computed.
func message(out []byte, size int, call uint32, m *FunctionMessage) ([]byte, error) {
	framed, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(header(out, size, call, codes.OK), m)
	if err != nil {
		return out, err
	}
	return framed, nil
}

// SendCode sends a failure, or (code Canceled) cancels a call.
func (p *Pipe) SendCode(call uint32, code codes.Code, detail string) error {
	return p.send(func(out []byte) ([]byte, error) {
		return append(header(out, len(detail), call, code), detail...), nil
	})
}

func header(out []byte, size int, call uint32, code codes.Code) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(size))
	return append(binary.BigEndian.AppendUint32(out, call), byte(code))
}

// send adds a frame to what is to be written. If no goroutine is writing, this one writes until nothing is left; frames
// of other goroutines that come meanwhile share a write.
func (p *Pipe) send(add func([]byte) ([]byte, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	out, err := add(p.out)
	if err != nil {
		return err
	}
	p.out = out
	if p.writing {
		return nil
	}
	p.writing = true
	p.write()
	return p.err
}

// Fill sets where the frames come from that Wake writes: fill appends some to out, and says whether it has more. It is
// called before the first Wake.
func (p *Pipe) Fill(fill func(out []byte) ([]byte, bool)) { p.fill = fill }

// Wake writes what fill has, and returns at once: a goroutine writes, which lives only while there is something to
// write. So a slow peer holds nobody up, and fill makes frames only when they are about to be written.
func (p *Pipe) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = true
	if p.writing || p.err != nil {
		return
	}
	p.writing = true
	p.writeLater()
}

// writeLater has another goroutine write.
func (p *Pipe) writeLater() {
	go func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.write()
	}()
}

// write writes until there is nothing left. Called under mu.
func (p *Pipe) write() {
	p.mu.Unlock()
	runtime.Gosched() // lets goroutines that are about to send join this write
	p.mu.Lock()
	for (len(p.out) > 0 || p.more) && p.err == nil {
		frames, more := p.out, p.more
		p.out, p.more = p.spare[:0], false
		p.mu.Unlock()
		if more {
			frames, more = p.fill(frames)
		}
		if p.Timeout > 0 {
			_ = p.conn.SetWriteDeadline(time.Now().Add(p.Timeout)) // fails on a closed connection, as the write does
		}
		_, err := p.conn.Write(frames)
		p.mu.Lock()
		p.more = p.more || more
		p.spare = frames[:0]
		if cap(frames) > spareMax {
			p.spare = nil // one large message does not hold its memory for ever
		}
		if p.err == nil && err != nil {
			p.err = err
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.conn.Close() // otherwise the other side has ended, and what it has sent before can be read
			}
		}
		p.written.Broadcast()
	}
	p.writing = false
	p.written.Broadcast()
}

// Read returns the next frame.
func (p *Pipe) Read() (Frame, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Call: binary.BigEndian.Uint32(head[4:]), Code: codes.Code(head[8])}
	// compared before it is an int, which has 31 bits for it on small processors
	length := binary.BigEndian.Uint32(head[:])
	if length > BodyMax {
		return Frame{}, fmt.Errorf("read frame: %d bytes are more than any frame has (%d)", length, BodyMax)
	}
	size := int(length)
	if size > p.Max {
		f.TooLarge = size
		_, err := p.in.Discard(size)
		return f, err
	}
	if cap(p.body) < size || cap(p.body) > 64<<10 && size < 4<<10 { // one large message does not hold its memory for ever
		p.body = make([]byte, max(size, 1<<10))
	}
	f.Body = p.body[:size]
	_, err := io.ReadFull(p.in, f.Body)
	return f, err
}

// limit is that of messages that are sent.
func (p *Pipe) limit() int { return min(p.Max, BodyMax) }

// Close ends the connection: Read and Send fail.
func (p *Pipe) Close() error { return p.conn.Close() }

// TooLarge is the status of a message that is larger than a limit, in the words of gRPC.
func TooLarge(size, limit int) error {
	return status.Errorf(codes.ResourceExhausted, "message larger than max (%d vs. %d)", size, limit)
}
