package listener

import (
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Limits are the largest numbers of open connections, from accepting them to their end; 0: no limit.
type Limits struct {
	All     int
	Address int // of one address; an IPv6 network of 64 bits is one
	Local   int // the same of an address of this machine's loopback
}

// Rejected are numbers of connections that were closed at once, since the start.
type Rejected struct {
	All     uint64 // over Limits.All
	Address uint64 // over Limits.Address or Limits.Local
}

// count counts open connections.
type count struct {
	limits Limits
	log    log.Logger

	mu       sync.Mutex
	all      int
	by       map[netip.Addr]int
	known    map[*Conn]identity // of connections whose client has a certificate
	judged   int                // calls of Judge
	check    func(chain []*x509.Certificate) error
	rejected Rejected
	told     time.Time // when the log had a line about it
}

// take counts a new connection, or refuses it.
func (c *count) take(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limits.All > 0 && c.all >= c.limits.All {
		c.rejected.All++
		c.tell(from, "connection.max", c.limits.All)
		return false
	}
	limit := c.limits.Address
	if from.IsLoopback() {
		limit = c.limits.Local
	}
	if limit > 0 && c.by[from] >= limit {
		c.rejected.Address++
		c.tell(from, "connection.address.max", limit)
		return false
	}
	c.all++
	c.by[from]++
	return true
}

// tell logs that connections are closed, once a minute.
func (c *count) tell(from netip.Addr, key string, limit int) {
	if now := time.Now(); now.Sub(c.told) >= time.Minute {
		c.told = now
		c.log.WithField(log.KeyAddress, from.String()).Warnf("there are as many connections as %s allows (%d): closing new "+
			"ones at once; so far %d over the limit of all, %d over that of an address", key, limit,
			c.rejected.All, c.rejected.Address)
	}
}

func (c *count) leave(from netip.Addr, conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, conn)
	c.all--
	if c.by[from]--; c.by[from] == 0 {
		delete(c.by, from)
	}
}

// counted is a listener whose connections count until they are closed. Accept closes those over the limits.
type counted struct {
	net.Listener
	count *count
}

// Accept implements net.Listener.
func (l counted) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		from := addr.Peer(conn.RemoteAddr())
		switch {
		case !l.count.take(from):
			_ = conn.Close()
		case ok:
			return l.count.conn(tcp, from), nil
		default: // nothing else is listened at
			l.count.leave(from, nil)
			return conn, nil
		}
	}
}

// Conn is an accepted connection. It counts until Close.
type Conn struct {
	*net.TCPConn
	count  *count
	from   netip.Addr
	judged int // count.judged, when it was accepted
	closed atomic.Bool
}

func (c *count) conn(tcp *net.TCPConn, from netip.Addr) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Conn{TCPConn: tcp, count: c, from: from, judged: c.judged}
}

// TCP returns the connection itself, whose bytes are those of MQTT.
func (c *Conn) TCP() *net.TCPConn { return c.TCPConn }

// Close implements net.Conn.
func (c *Conn) Close() error {
	err := c.TCPConn.Close()
	if !c.closed.Swap(true) {
		c.count.leave(c.from, c)
	}
	return err
}
