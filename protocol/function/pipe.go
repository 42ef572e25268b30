package function

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Hello is what both sides of a pipe send first. It is as long as the preface of HTTP/2, so that a server can tell a
// pipe from gRPC after that many bytes, and a gRPC server refuses it at once.
const Hello = "BAETYL-FUNCTION-PIPE/1\r\n"

// ErrNoPipe is what Dial returns when the other side speaks something else, gRPC most likely.
var ErrNoPipe = errors.New("the other side has no pipe")

// headerSize is that of a frame: length of the body, number of the call, code.
const headerSize = 4 + 4 + 1

// BodyMax is the largest body of a frame, in bytes, whatever the limit of messages: a longer one is no frame of ours,
// and ends the pipe.
const BodyMax = 1 << 30

// concurrentMax is the highest number of calls at once that a runtime may announce; sums of it fit into 32 bits.
const concurrentMax = 1 << 20

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
	Concurrent int           // calls at once that the runtime wants; its side sets it, the caller's side learns it
	Max        int           // largest FunctionMessage, in bytes; never more than BodyMax
	Timeout    time.Duration // of one write; 0: none

	conn net.Conn
	in   *bufio.Reader
	body []byte

	mu      sync.Mutex // guards what follows
	out     []byte     // frames that wait for the goroutine that writes
	spare   []byte
	writing bool
	err     error
}

// Dial turns a connection into the caller's end of a pipe. It ends with the deadline of the connection.
func Dial(conn net.Conn) (*Pipe, error) {
	if _, err := io.WriteString(conn, Hello); err != nil {
		return nil, err
	}
	p := newPipe(conn, bufio.NewReaderSize(conn, 64<<10))
	var answer [len(Hello) + 4]byte
	if _, err := io.ReadFull(p.in, answer[:]); err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return nil, err
		}
		return nil, ErrNoPipe // it has closed the connection
	}
	if string(answer[:len(Hello)]) != Hello {
		return nil, ErrNoPipe
	}
	p.Concurrent = int(min(binary.BigEndian.Uint32(answer[len(Hello):]), concurrentMax))
	return p, nil
}

// Accept turns a connection into the runtime's end of a pipe, or returns what was read when the caller speaks
// something else. concurrent is how many calls at once the runtime wants.
func Accept(conn net.Conn, concurrent int) (*Pipe, []byte, error) {
	in := bufio.NewReaderSize(conn, 64<<10)
	first, err := in.Peek(len(Hello))
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(first, []byte(Hello)) {
		read, err := in.Peek(in.Buffered())
		return nil, read, err
	}
	if _, err := in.Discard(len(Hello)); err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte(Hello), uint32(concurrent))); err != nil {
		return nil, nil, err
	}
	p := newPipe(conn, in)
	p.Concurrent = concurrent
	return p, nil, nil
}

func newPipe(conn net.Conn, in *bufio.Reader) *Pipe {
	return &Pipe{conn: conn, in: in, Max: 4 << 20}
}

// SendMessage sends a request or an answer. It fails with RESOURCE_EXHAUSTED when m is too large; the pipe is still
// good then.
func (p *Pipe) SendMessage(call uint32, m *FunctionMessage) error {
	size := proto.Size(m)
	if limit := p.limit(); size > limit {
		return TooLarge(size, limit)
	}
	return p.send(func(out []byte) ([]byte, error) {
		return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(header(out, size, call, codes.OK), m)
	})
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
	p.mu.Unlock()
	runtime.Gosched() // lets goroutines that are about to send join this write
	p.mu.Lock()
	for len(p.out) > 0 && p.err == nil {
		frames := p.out
		p.out = p.spare[:0]
		p.mu.Unlock()
		if p.Timeout > 0 {
			_ = p.conn.SetWriteDeadline(time.Now().Add(p.Timeout)) // fails on a closed connection, as the write does
		}
		_, err := p.conn.Write(frames)
		p.mu.Lock()
		p.spare = frames[:0]
		if p.err == nil && err != nil {
			p.err = err
			p.conn.Close()
		}
	}
	p.writing = false
	return p.err
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
