package function

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
)

// pipeCalls is the caller's end of a pipe.
type pipeCalls struct {
	pipe  *protocol.Pipe
	ended chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	next    uint32
	waiting map[uint32]chan pipeAnswer // nil when the connection has ended
}

type pipeAnswer struct {
	message *Message
	err     error
}

func newPipeCalls(p *protocol.Pipe) *pipeCalls {
	c := &pipeCalls{pipe: p, ended: make(chan struct{}), waiting: map[uint32]chan pipeAnswer{}}
	go c.receive()
	return c
}

// receive hands answers out until the connection ends.
func (c *pipeCalls) receive() {
	defer close(c.ended)
	for {
		f, err := c.pipe.Read()
		if err != nil {
			c.pipe.Close()
			c.fail(err)
			return
		}
		c.mu.Lock()
		answer := c.waiting[f.Call]
		delete(c.waiting, f.Call)
		c.mu.Unlock()
		if answer != nil { // else its caller has stopped waiting
			answer <- c.read(f)
		}
	}
}

func (c *pipeCalls) read(f protocol.Frame) pipeAnswer {
	switch {
	case f.TooLarge > 0:
		return pipeAnswer{err: protocol.TooLarge(f.TooLarge, c.pipe.Max)}
	case f.Code != codes.OK:
		return pipeAnswer{err: status.Error(f.Code, f.Detail())}
	}
	m := new(Message)
	if err := proto.Unmarshal(f.Body, m); err != nil {
		return pipeAnswer{err: status.Errorf(codes.Internal, "read answer: %v", err)}
	}
	return pipeAnswer{message: m}
}

func (c *pipeCalls) fail(err error) {
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, answer := range waiting {
		answer <- pipeAnswer{err: status.Errorf(codes.Unavailable, "connection to function instance: %v", err)}
	}
}

// call calls the runtime; when ctx ends, the runtime is told so.
func (c *pipeCalls) call(ctx context.Context, m *Message) (*Message, error) {
	answer := make(chan pipeAnswer, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "connection to function instance has ended")
	}
	c.next++
	call := c.next
	c.waiting[call] = answer
	c.mu.Unlock()
	if err := c.pipe.SendMessage(call, m); err != nil {
		c.forget(call)
		if _, ok := status.FromError(err); ok {
			return nil, err
		}
		return nil, status.Errorf(codes.Unavailable, "send to function instance: %v", err)
	}
	select {
	case a := <-answer:
		return a.message, a.err
	case <-ctx.Done():
		c.forget(call)
		_ = c.pipe.SendCode(call, codes.Canceled, "") // if it does not arrive, the connection has ended, which says the same
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (c *pipeCalls) forget(call uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, call)
}
