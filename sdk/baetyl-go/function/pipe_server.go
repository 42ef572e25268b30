package function

import (
	"context"
	"math"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
)

// pipeMax limits the running calls of one pipe of version 1 when concurrent.max is not set; further calls are refused.
const pipeMax = 1024

// queueMax is how many calls of a pipe may wait here beside those that run; further calls are refused.
const queueMax = 64

// bytesMax is how many bytes of calls, and of answers, may wait before nothing more is read; one message always may.
const bytesMax = 4 << 20

// atOnce is how many calls of one pipe run at the same time.
func (s *Server) atOnce() int {
	n := max(s.cfg.Announced, 1)
	for _, limit := range []int{s.cfg.Workers.Max, int(min(s.cfg.Concurrent.Max, math.MaxInt32))} {
		if limit > 0 {
			n = min(n, limit)
		}
	}
	return n
}

// pipeServer runs the calls of one pipe: in the order in which they came, so many at once as it has said in the hello.
// A goroutine that has answered a call takes the next one.
//
//	Read ─► waiting ─► run ─► answer
type pipeServer struct {
	server     *Server
	pipe       *protocol.Pipe
	concurrent int
	queue      int

	mu      sync.Mutex
	calls   map[uint32]*served // without an answer
	waiting []*served          // those of them that have not begun
	bytes   int                // of waiting
	taken   sync.Cond          // on mu: one of waiting has gone, or the pipe has ended
	running int
	// those of running whose answer is being written: another call may take the place, since the caller may have read it
	answering int
	closing   bool
	ended     bool
}

type served struct {
	number  uint32
	message *Message
	size    int
	cancel  context.CancelFunc // nil: it has not begun
}

func newPipeServer(server *Server, p *protocol.Pipe) *pipeServer {
	s := &pipeServer{
		server: server, pipe: p, concurrent: p.Concurrent, queue: p.Queue, calls: map[uint32]*served{},
	}
	s.taken.L = &s.mu
	if p.Version < 2 { // what it says is a wish there, and nothing waits
		if s.concurrent = int(min(server.cfg.Concurrent.Max, math.MaxInt32)); s.concurrent == 0 {
			s.concurrent = pipeMax
		}
	}
	return s
}

// run takes calls until the connection ends. When stop ends, it takes no new ones and closes the connection behind the
// last answer; when kill ends, or the caller disconnects, it cancels the running calls and forgets those that wait.
func (s *pipeServer) run(stop, kill context.Context) {
	alive, cancel := context.WithCancel(kill)
	defer cancel()
	defer s.pipe.Close()
	defer context.AfterFunc(stop, s.close)()
	defer s.end()
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
		if err == nil {
			err = s.take(alive, &served{number: f.Call, message: m, size: len(f.Body)})
		}
		if err != nil {
			s.refuse(f.Call, err)
		}
		s.pipe.Drain(bytesMax)
	}
}

// take runs a call or lets it wait. It returns when there is room for another one.
func (s *pipeServer) take(alive context.Context, c *served) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return status.Error(codes.Unavailable, "the instance is stopping")
	case s.calls[c.number] != nil:
		return status.Errorf(codes.InvalidArgument, "call %d runs already", c.number)
	case s.running < s.concurrent:
		s.calls[c.number] = c
		s.running++
		go s.work(s.begin(alive, c), alive, c)
		return nil
	case len(s.waiting) >= s.queue+s.answering:
		return status.Error(codes.ResourceExhausted, "too many calls at once")
	}
	s.calls[c.number] = c
	s.waiting = append(s.waiting, c)
	s.bytes += c.size
	for s.bytes > bytesMax && !s.ended {
		s.taken.Wait()
	}
	return nil
}

// begin is called under mu.
func (s *pipeServer) begin(alive context.Context, c *served) context.Context {
	ctx, cancel := context.WithCancel(alive)
	c.cancel = cancel
	return ctx
}

// work runs a call, and then those that wait, until there is none.
func (s *pipeServer) work(ctx, alive context.Context, c *served) {
	for c != nil {
		out, err := s.server.Call(ctx, c.message)
		c.cancel()
		ctx, c = s.answer(alive, c, out, err)
	}
}

// answer answers a call and returns the next one. The number is free before the answer is sent: the caller may use it
// again at once. The answer is written before the next call begins, which may end this process.
func (s *pipeServer) answer(alive context.Context, c *served, out *Message, err error) (context.Context, *served) {
	if out == nil {
		out = new(Message)
	}
	s.mu.Lock()
	delete(s.calls, c.number)
	s.answering++
	s.mu.Unlock()
	if err == nil {
		err = s.pipe.SendMessage(c.number, out)
	}
	if err != nil {
		s.refuse(c.number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answering--
	if len(s.waiting) > 0 {
		next := s.waiting[0]
		s.remove(0)
		return s.begin(alive, next), next
	}
	s.running--
	s.closeIdle()
	return nil, nil
}

// remove takes a call out of waiting. Called under mu.
func (s *pipeServer) remove(at int) {
	s.bytes -= s.waiting[at].size
	s.waiting = slices.Delete(s.waiting, at, at+1)
	s.taken.Broadcast()
}

// cancel ends a call: one that waits is answered at once.
func (s *pipeServer) cancel(number uint32) {
	s.mu.Lock()
	c := s.calls[number]
	at := slices.Index(s.waiting, c)
	switch {
	case c == nil:
	case at < 0:
		c.cancel()
	default:
		delete(s.calls, number)
		s.remove(at)
	}
	s.mu.Unlock()
	if at >= 0 {
		s.refuse(number, status.Error(codes.Canceled, "canceled before it began"))
	}
}

// refuse sends a failure. If that fails, the connection has ended, and Read returns the error.
func (s *pipeServer) refuse(call uint32, err error) {
	st := status.Convert(err)
	_ = s.pipe.SendCode(call, st.Code(), st.Message())
}

// close takes no new calls, and closes the connection behind the last one.
func (s *pipeServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.closeIdle()
}

// closeIdle is called under mu.
func (s *pipeServer) closeIdle() {
	if s.closing && s.running == 0 {
		go s.pipe.Finish() // ends with the last write
	}
}

// end forgets what waits.
func (s *pipeServer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.waiting, s.bytes = nil, 0
	s.taken.Broadcast()
}
