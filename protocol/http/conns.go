package http

import (
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/log"
)

// Limits of connections, unless Options.MaxConns says others. A connection in which no handler works may be closed for
// a new one, so that connections that are merely open, or whose client is slow to send a request or to take an answer,
// keep nobody out.
const (
	maxConns     = 1024 // of a server
	maxPeerConns = 256  // from one user over a unix socket, or from one IP address
)

type connKey struct{} // of the *conn in the context of a request

// conn is a connection, with what decides whether it may be closed for another one.
type conn struct {
	net.Conn
	table *table
	peer  *Peer  // nil over tcp
	from  string // user or IP address

	// guarded by table.mu
	runs  bool      // a handler
	waits int       // of the handler for the client: for a body, for room in the socket
	since time.Time // of the last change of runs or waits
}

// busy tells whether a handler works. It runs with table.mu held.
func (c *conn) busy() bool { return c.runs && c.waits == 0 }

func (c *conn) Close() error {
	c.table.drop(c)
	return c.Conn.Close()
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.wait(1)
	defer c.wait(-1)
	return c.Conn.Write(b)
}

// run marks the connection while a handler runs in it.
func (c *conn) run(runs bool) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	c.runs, c.since = runs, time.Now()
}

// wait begins, with 1, or ends, with -1, a wait for the client.
func (c *conn) wait(n int) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	c.waits, c.since = c.waits+n, time.Now()
}

// table holds the open connections of a server.
type table struct {
	log  log.Logger
	most int // connections
	each int // of one user or address

	mu      sync.Mutex // guards what follows, and the connections in it
	conns   map[*conn]struct{}
	from    map[string]int // how many of them
	refused time.Time      // when a refusal was logged last
}

func newTable(most int, l log.Logger) *table {
	each := max(1, most/2)
	if most <= 0 {
		most, each = maxConns, maxPeerConns
	}
	return &table{log: l, most: most, each: each, conns: map[*conn]struct{}{}, from: map[string]int{}}
}

// admit takes c in, at the cost of another connection when there are too many. It is false when handlers work in all of
// those that could go.
func (t *table) admit(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.since = time.Now()
	for {
		from := c.from
		if t.from[from] < t.each {
			if len(t.conns) < t.most {
				break
			}
			from = t.busiest()
		}
		oldest := t.oldest(from)
		if oldest == nil {
			if time.Since(t.refused) > time.Minute {
				t.refused = time.Now()
				t.log.WithField(log.KeyAddress, c.from).Warnf("too many connections: more are refused")
			}
			return false
		}
		t.remove(oldest)
		_ = oldest.Conn.Close()
	}
	t.conns[c] = struct{}{}
	t.from[c.from]++
	return true
}

// busiest is who has the most connections.
func (t *table) busiest() (from string) {
	for f, n := range t.from {
		if n > t.from[from] {
			from = f
		}
	}
	return from
}

// oldest is the connection from there that has been without work for the longest time; nil: there is none.
func (t *table) oldest(from string) (found *conn) {
	for c := range t.conns {
		if c.from == from && !c.busy() && (found == nil || c.since.Before(found.since)) {
			found = c
		}
	}
	return found
}

func (t *table) drop(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(c)
}

func (t *table) remove(c *conn) {
	if _, ok := t.conns[c]; !ok {
		return
	}
	delete(t.conns, c)
	if t.from[c.from]--; t.from[c.from] == 0 {
		delete(t.from, c.from)
	}
}

// drain returns when all connections are closed, or when their time is over: that of running handlers, and that of
// requests that are being sent.
func (t *table) drain() {
	begin := time.Now()
	for time.Since(begin) < drainTimeout {
		open, busy := t.count()
		if open == 0 || busy == 0 && time.Since(begin) > sendTimeout {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// count returns how many connections are open, and in how many of them a handler runs.
func (t *table) count() (open, busy int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.runs {
			busy++
		}
	}
	return len(t.conns), busy
}

// limited is a listener whose connections are *conn.
type limited struct {
	net.Listener
	table *table
}

// Accept returns the next connection that is admitted.
func (l limited) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, table: l.table}
		if u, ok := accepted.(*net.UnixConn); ok {
			if c.peer, err = readPeer(u); err != nil {
				l.table.log.WithError(err).Warnf("connection refused: it is not known whose it is")
				_ = accepted.Close()
				continue
			}
		}
		if c.from = sender(c); !l.table.admit(c) {
			_ = accepted.Close()
			continue
		}
		return c, nil
	}
}

// sender names who shares a limit of connections.
func sender(c *conn) string {
	if c.peer != nil {
		return "uid " + strconv.Itoa(c.peer.UID)
	}
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String()) // empty for a unix socket of a system that tells nothing
	return host
}
