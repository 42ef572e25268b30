package function

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
)

// acceptTimeout is how long a new connection may take to send the hello of a pipe or the preface of HTTP/2.
const acceptTimeout = 20 * time.Second

// pipeMax limits the running calls of one pipe when concurrent.max is not set; further calls are refused.
const pipeMax = 1024

// mux takes the connections of a Server: a pipe is served here, everything else is gRPC's.
type mux struct {
	net.Listener
	server *Server
	grpc   chan net.Conn
	work   sync.WaitGroup  // of accept, and of each pipe
	ctx    context.Context // ends when no new calls are taken
	kill   context.Context // ends when running ones are given up
}

// accept runs until the listener is closed.
func (m *mux) accept() {
	for {
		conn, err := m.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // most likely too many files are open: do not retry in a busy loop
			continue
		}
		m.work.Go(func() { m.sort(conn) })
	}
}

func (m *mux) sort(conn net.Conn) {
	waits := context.AfterFunc(m.ctx, func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(acceptTimeout))
	p, read, err := protocol.Accept(conn, max(m.server.cfg.Announced, 1))
	if !waits() || err != nil {
		conn.Close()
		return
	}
	defer context.AfterFunc(m.kill, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Time{})
	if p != nil {
		p.Max, p.Timeout = m.server.cfg.Message.Length.Max.Int(), m.server.cfg.Timeout
		s := pipeServer{server: m.server, pipe: p, calls: map[uint32]context.CancelFunc{}}
		s.run(m.ctx, m.kill)
		return
	}
	select {
	case m.grpc <- &readAhead{Conn: conn, read: read}:
	case <-m.ctx.Done():
		conn.Close()
	}
}

// pipeServer runs the calls of one pipe.
type pipeServer struct {
	server *Server
	pipe   *protocol.Pipe

	mu      sync.Mutex
	calls   map[uint32]context.CancelFunc // that run
	open    int                           // calls that are not answered yet
	closing bool
}

// run takes calls until the connection ends. When stop ends, it takes no new ones and closes the connection after the
// last answer; when kill ends, or the caller disconnects, it cancels the running calls.
func (s *pipeServer) run(stop, kill context.Context) {
	alive, cancel := context.WithCancel(kill)
	defer cancel()
	defer s.pipe.Close()
	defer context.AfterFunc(stop, func() { s.count(0, true) })()
	for {
		f, err := s.pipe.Read()
		if err != nil {
			return
		}
		if f.Code != codes.OK {
			s.cancel(f.Call)
			continue
		}
		m := new(Message)
		if f.TooLarge > 0 {
			err = protocol.TooLarge(f.TooLarge, s.pipe.Max)
		} else if err = proto.Unmarshal(f.Body, m); err != nil {
			err = status.Error(codes.InvalidArgument, err.Error())
		}
		ctx, end := context.WithCancel(alive)
		if err == nil {
			err = s.begin(f.Call, end)
		}
		if err != nil {
			end()
			s.refuse(f.Call, err)
			continue
		}
		go func() {
			out, err := s.server.Call(ctx, m)
			end()
			s.answer(f.Call, out, err)
		}()
	}
}

func (s *pipeServer) begin(call uint32, end context.CancelFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int(min(s.server.cfg.Concurrent.Max, math.MaxInt32))
	if most == 0 {
		most = pipeMax
	}
	switch {
	case s.closing:
		return status.Error(codes.Unavailable, "the instance is stopping")
	case len(s.calls) >= most:
		return status.Error(codes.ResourceExhausted, "too many calls at once")
	case s.calls[call] != nil:
		return status.Errorf(codes.InvalidArgument, "call %d runs already", call)
	}
	s.calls[call] = end
	s.open++
	return nil
}

func (s *pipeServer) cancel(call uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := s.calls[call]; end != nil {
		end()
	}
}

// answer frees the number before the answer is sent: the caller may use it again at once.
func (s *pipeServer) answer(call uint32, out *Message, err error) {
	s.mu.Lock()
	delete(s.calls, call)
	s.mu.Unlock()
	if out == nil {
		out = new(Message)
	}
	if err == nil {
		err = s.pipe.SendMessage(call, out)
	}
	if err != nil {
		s.refuse(call, err)
	}
	s.count(-1, false)
}

// refuse sends a failure. If that fails, the connection has ended, and Read returns the error.
func (s *pipeServer) refuse(call uint32, err error) {
	st := status.Convert(err)
	_ = s.pipe.SendCode(call, st.Code(), st.Message())
}

// count changes the number of calls without an answer, and closes the connection behind the last one when the server
// ends.
func (s *pipeServer) count(change int, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += change
	s.closing = s.closing || closing
	if s.closing && s.open == 0 {
		s.pipe.Close()
	}
}

// grpcListener is what gRPC listens at.
type grpcListener struct{ *mux }

func (l grpcListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.grpc:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// readAhead is a connection of which something has been read.
type readAhead struct {
	net.Conn
	read []byte
}

func (c *readAhead) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	c.read = c.read[n:]
	return n, nil
}
