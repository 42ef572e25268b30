package function

import (
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
)

// portion is the number of bytes from which on frames are not written together with the next ones.
const portion = 64 << 10

// pipeCalls is the caller's end of a pipe.
//
// The runtime begins calls in the order in which they are sent, at most `width` at once; the others wait in it. So
// those that run are the first ones without an answer, and the timeout of a call counts from when it becomes one of
// them.
type pipeCalls struct {
	pipe    *protocol.Pipe
	timeout time.Duration // of a call, from its begin; then the connection ends, since the runtime hangs
	width   int           // calls that the runtime runs at once; version 1: all
	ended   chan struct{} // closed when the connection has ended, and all calls

	mu     sync.Mutex
	next   uint32      // number of the next call
	open   []*pipeCall // without an answer, in the order of Begin
	sent   int         // how many of open are written, or being written
	timer  *time.Timer // of the first one in open; nil: none has been needed yet
	armed  bool        // timer runs
	closed bool        // the connection ends

	failing bool      // a goroutine fails what is open
	failed  sync.Cond // on mu: it has done so
}

type pipeCall struct {
	number  uint32
	message *Message
	done    func(Answer)
	began   time.Time // zero while it waits in the runtime
}

func newPipeCalls(p *protocol.Pipe, timeout time.Duration) *pipeCalls {
	c := &pipeCalls{pipe: p, timeout: timeout, width: math.MaxInt, ended: make(chan struct{})}
	if p.Version > 1 {
		c.width = max(p.Concurrent, 1)
	}
	c.failed.L = &c.mu
	p.Fill(c.fill)
	go c.receive()
	return c
}

// receive hands answers out until the connection ends.
func (c *pipeCalls) receive() {
	for {
		f, err := c.pipe.Read()
		if err != nil {
			c.end(status.Errorf(codes.Unavailable, "connection to function instance: %v", err))
			return
		}
		c.answered(f)
	}
}

// begin hands a call over. done is called once, from another goroutine.
func (c *pipeCalls) begin(m *Message, done func(Answer)) *pipeCall {
	call := &pipeCall{message: m, done: done}
	c.mu.Lock()
	c.next++
	call.number = c.next
	c.open = append(c.open, call)
	if c.closed {
		if !c.failing {
			c.failing = true
			go c.fail(ErrNotBegun)
		}
		c.mu.Unlock()
		return call
	}
	if len(c.open) <= c.width {
		call.began = time.Now()
	}
	if !c.armed {
		c.armed = true
		c.arm(c.timeout)
	}
	c.mu.Unlock()
	c.pipe.Wake()
	return call
}

// arm starts the timer. One timer serves all calls of an instance: it looks at the one that began first. Called under
// mu.
func (c *pipeCalls) arm(after time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(after, c.check)
		return
	}
	c.timer.Reset(after)
}

// check ends the connection if the first call is not answered in time.
func (c *pipeCalls) check() {
	c.mu.Lock()
	if len(c.open) == 0 || c.closed {
		c.armed = false
		c.mu.Unlock()
		return
	}
	left := c.timeout - time.Since(c.open[0].began)
	if left > 0 {
		c.arm(left)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.end(status.Errorf(codes.Unavailable, "the instance did not answer another call within %s", c.timeout))
}

// fill gives the pipe the frames of calls that are not sent yet.
func (c *pipeCalls) fill(out []byte) (_ []byte, more bool) {
	type failure struct {
		call *pipeCall
		err  error
	}
	var failed []failure
	c.mu.Lock()
	for !c.closed && c.sent < len(c.open) && len(out) < portion {
		call := c.open[c.sent]
		var err error
		if out, err = c.pipe.AppendMessage(out, call.number, call.message); err != nil {
			c.remove(c.sent)
			failed = append(failed, failure{call, err})
			continue
		}
		call.message = nil
		c.sent++
	}
	more = !c.closed && c.sent < len(c.open)
	c.mu.Unlock()
	for _, f := range failed {
		f.call.done(Answer{Err: f.err})
	}
	return out, more
}

// remove takes a call out of open, and notes that the next one begins. Called under mu.
func (c *pipeCalls) remove(i int) {
	if i == 0 {
		c.open[0] = nil
		c.open = c.open[1:]
	} else {
		c.open = slices.Delete(c.open, i, i+1)
	}
	if i < c.sent {
		c.sent--
	}
	if i < c.width && c.width <= len(c.open) {
		c.open[c.width-1].began = time.Now()
	}
}

// find returns the place of a call in open; it is near the front.
func (c *pipeCalls) find(number uint32) int {
	return slices.IndexFunc(c.open, func(call *pipeCall) bool { return call.number == number })
}

func (c *pipeCalls) answered(f protocol.Frame) {
	c.mu.Lock()
	i := c.find(f.Call)
	if i < 0 || i >= c.sent { // its caller has stopped waiting
		c.mu.Unlock()
		return
	}
	call := c.open[i]
	c.remove(i)
	c.mu.Unlock()
	a := c.read(f)
	if !call.began.IsZero() {
		a.Took = time.Since(call.began)
	}
	call.done(a)
}

func (c *pipeCalls) read(f protocol.Frame) Answer {
	switch {
	case f.TooLarge > 0:
		return Answer{Err: protocol.TooLarge(f.TooLarge, c.pipe.Max)}
	case f.Code != codes.OK:
		return Answer{Err: status.Error(f.Code, f.Detail())}
	}
	m := new(Message)
	if err := proto.Unmarshal(f.Body, m); err != nil {
		return Answer{Err: status.Errorf(codes.Internal, "read answer: %v", err)}
	}
	return Answer{Message: m}
}

// end closes the connection. Calls whose time is over fail with DEADLINE_EXCEEDED, others that may have begun with err,
// and the rest with ErrNotBegun, in the order of Begin.
func (c *pipeCalls) end(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed, c.failing = true, true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.pipe.Close()
	c.fail(err)
	close(c.ended)
}

// fail ends the calls that are open, and those that come meanwhile, in the order of Begin.
func (c *pipeCalls) fail(err error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) > 0 {
		open, sent := c.open, c.sent
		c.open, c.sent = nil, 0
		c.mu.Unlock()
		for i, call := range open {
			a := Answer{Err: ErrNotBegun}
			if i < sent && !call.began.IsZero() {
				a.Took, a.Err = now.Sub(call.began), err
				if a.Took >= c.timeout {
					a.Err = status.Errorf(codes.DeadlineExceeded, "context deadline exceeded: no answer within %s", c.timeout)
				}
			}
			call.done(a)
		}
		c.mu.Lock()
	}
	c.failing = false
	c.failed.Broadcast()
}

// close ends the connection, and waits until no call is open.
func (c *pipeCalls) close() {
	c.end(status.Error(codes.Unavailable, "the function client is closed"))
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.failing {
		c.failed.Wait()
	}
}

// cancel gives a call up: its done is not called any more, and the runtime is told so. It returns false if done has
// been called already, or is about to be.
func (c *pipeCalls) cancel(call *pipeCall) bool {
	c.mu.Lock()
	i := c.find(call.number)
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	sent := i < c.sent
	c.remove(i)
	c.mu.Unlock()
	if sent {
		_ = c.pipe.SendCode(call.number, codes.Canceled, "") // if it does not arrive, the connection has ended
	}
	return true
}
