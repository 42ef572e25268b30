package function

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	protocol "github.com/baetyl/baetyl/protocol/function"
)

// acceptTimeout is how long a new connection may take to send the hello of a pipe or the preface of HTTP/2.
const acceptTimeout = 20 * time.Second

// strangersMax is how many connections there may be that have not said a hello. Those of gRPC count as long as they
// live when there is a secret, since each of their calls shows it anew.
const strangersMax = 64

// mux takes the connections of a Server: a pipe is served here, everything else is gRPC's.
type mux struct {
	net.Listener
	server *Server
	grpc   chan net.Conn
	work   sync.WaitGroup  // of accept, and of each pipe
	ctx    context.Context // ends when no new calls are taken
	kill   context.Context // ends when running ones are given up

	mu        sync.Mutex
	strangers []net.Conn // that have not shown who they are, in the order in which they came
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
		m.enter(conn)
		m.work.Go(func() { m.sort(conn) })
	}
}

// enter notes a connection. When there are too many, the one that has waited longest ends: who knows the secret shows
// it at once.
func (m *mux) enter(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.strangers = append(m.strangers, conn)
	if len(m.strangers) > strangersMax {
		_ = m.strangers[0].Close() // what waits for it sees the error
		m.strangers = slices.Delete(m.strangers, 0, 1)
	}
}

// leave forgets a connection that is closed or not a stranger any more.
func (m *mux) leave(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := slices.Index(m.strangers, conn); at >= 0 {
		m.strangers = slices.Delete(m.strangers, at, at+1)
	}
}

func (m *mux) sort(conn net.Conn) {
	waits := context.AfterFunc(m.ctx, func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(acceptTimeout))
	p, read, err := protocol.Accept(conn, string(m.server.cfg.Secret), m.server.atOnce(), queueMax)
	if p != nil || err != nil || m.server.cfg.Secret == "" {
		m.leave(conn)
	}
	if !waits() || err != nil {
		conn.Close()
		return
	}
	defer context.AfterFunc(m.kill, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Time{})
	if p != nil {
		p.Max, p.Timeout = m.server.cfg.Message.Length.Max.Int(), m.server.cfg.Timeout
		newPipeServer(m.server, p).run(m.ctx, m.kill)
		return
	}
	select {
	case m.grpc <- &readAhead{Conn: conn, read: read, closed: func() { m.leave(conn) }}:
	case <-m.ctx.Done():
		m.leave(conn)
		conn.Close()
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
	read   []byte
	closed func()
}

func (c *readAhead) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (c *readAhead) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	c.read = c.read[n:]
	return n, nil
}
