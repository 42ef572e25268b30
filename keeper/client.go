//go:build unix

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// ErrLost is the error of a call when the keeper is gone. The master ends then: the kernel kills it with its keeper.
var ErrLost = errors.New("the keeper is gone")

// State is what a master learns with its Hello.
type State struct {
	Processes []Process
	Kept      map[string]*os.File // the caller closes them
	Rejected  string              // why the candidate before this master was rejected; empty: there was none
	Candidate bool                // this master is a candidate, and has to call Ready
}

// Client is the master's side. It may be used from any goroutine.
type Client struct {
	conn *net.UnixConn
	in   incoming
	lost chan struct{}
	// events holds stop, reload and leave until the master reads them. When it is full the oldest is dropped: the master
	// has not read for 16 of them, and the newest says what is wanted.
	events chan Event

	write sync.Mutex // guards writing to conn; taken after none

	mu        sync.Mutex // guards the following
	id        uint64
	waiting   map[uint64]chan answer
	processes map[string]*held
}

// held is what a Client knows of a process.
type held struct {
	ended chan struct{} // closed when end is set, or the process was released
	end   *End
}

// answer is a Reply with its descriptors.
type answer struct {
	Reply
	files []int
}

// Dial returns the client of the keeper that has started this master: nil and no error in a master without one. It
// removes EnvConn from the environment, so it is called once.
func Dial() (*Client, error) {
	text, ok := os.LookupEnv(EnvConn)
	if !ok {
		return nil, nil
	}
	_ = os.Unsetenv(EnvConn)
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", EnvConn, err)
	}
	conn, err := connOf(fd, "keeper")
	if err != nil {
		return nil, fmt.Errorf("connect to keeper: %w", err)
	}
	return NewClient(conn), nil
}

// connOf returns the socket fd, which it takes over.
func connOf(fd int, name string) (*net.UnixConn, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, syscall.EBADF
	}
	defer f.Close() // FileConn has its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, errFrame
	}
	return unix, nil
}

// NewClient returns the client of the keeper at the other end of conn, which it owns.
func NewClient(conn *net.UnixConn) *Client {
	c := &Client{
		conn: conn, in: incoming{conn: conn}, lost: make(chan struct{}), events: make(chan Event, 16),
		waiting: map[uint64]chan answer{}, processes: map[string]*held{},
	}
	go c.read() // ends with the connection
	return c
}

// Close ends the connection, not the processes. It is for tests: a master's connection ends with it.
func (c *Client) Close() error { return c.conn.Close() }

// Events returns the channel of what the keeper asks for: EventStop, EventReload, EventLeave.
func (c *Client) Events() <-chan Event { return c.events }

// Lost is closed when the keeper is gone.
func (c *Client) Lost() <-chan struct{} { return c.lost }

func (c *Client) read() {
	defer close(c.lost)
	for {
		text, files, err := c.in.next()
		if err != nil {
			c.in.drop()
			return
		}
		var m struct {
			Reply
			Event
		}
		if json.Unmarshal(text, &m) != nil {
			closeAll(files)
			return
		}
		if m.ID == 0 {
			c.event(m.Event)
			continue
		}
		c.mu.Lock()
		to := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.learn(m.Processes)
		c.mu.Unlock()
		if to == nil { // its caller has gone
			closeAll(files)
			continue
		}
		to <- answer{m.Reply, files} // has room for it
	}
}

func (c *Client) event(e Event) {
	if e.Kind == EventEnded {
		c.mu.Lock()
		if h := c.processes[e.Handle]; h != nil && h.end == nil && e.End != nil {
			h.end = e.End
			close(h.ended)
		}
		c.mu.Unlock()
		return
	}
	for {
		select {
		case c.events <- e:
			return
		default:
		}
		select {
		case <-c.events:
		default:
		}
	}
}

// learn takes processes that the keeper has told of. The caller holds mu.
func (c *Client) learn(all []Process) {
	for _, p := range all {
		if c.processes[p.Handle] != nil {
			continue
		}
		h := &held{ended: make(chan struct{}), end: p.End}
		if h.end != nil {
			close(h.ended)
		}
		c.processes[p.Handle] = h
	}
}

// call asks and waits for the answer. The descriptors of files go with it, those of the answer belong to the caller.
func (c *Client) call(ctx context.Context, r Request, files ...int) (answer, error) {
	to := make(chan answer, 1)
	c.mu.Lock()
	c.id++
	r.ID = c.id
	c.waiting[r.ID] = to
	c.mu.Unlock()
	forget := func() {
		c.mu.Lock()
		waits := c.waiting[r.ID] != nil
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		if !waits { // the answer is there, or comes at once
			closeAll((<-to).files)
		}
	}
	frame, err := encode(r, len(files))
	if err != nil {
		forget()
		return answer{}, err
	}
	c.write.Lock()
	_, err = send(c.conn, frame, files)
	c.write.Unlock()
	if err != nil {
		forget()
		return answer{}, fmt.Errorf("%w: %w", ErrLost, err)
	}
	select {
	case a := <-to:
		return a, a.err()
	case <-ctx.Done():
		forget()
		return answer{}, ctx.Err()
	case <-c.lost:
		select {
		case a := <-to: // came with the last bytes
			return a, a.err()
		default:
			return answer{}, ErrLost
		}
	}
}

// callError is an error of the keeper. It unwraps to the errno of the call that failed there, if there was one.
type callError struct {
	text  string
	errno syscall.Errno
}

func (e *callError) Error() string { return e.text }

func (e *callError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	return &callError{a.Error, syscall.Errno(a.Errno)}
}
