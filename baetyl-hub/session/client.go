package session

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/utils/log"
)

// client is one connection: it reads packets and answers them. Only the goroutine of serve touches its fields, unless
// a comment says otherwise.
type client struct {
	g     *Registry
	conn  net.Conn
	cert  *x509.Certificate
	log   log.Logger
	in    reader
	out   writeQueue
	batch router.Batch

	s         *Session
	user      *auth.User
	admitted  atomic.Pointer[auth.User] // the same, for Registry.SetUsers
	keepAlive time.Duration             // the client must send something within this time; 0: no limit
	will      *packet.Message
	staleWill bool // the store has a will of this client from before the hub's restart
	routes    map[string]*known
	burst     burst
	// unstored holds a token for each message that is not stored yet. When it is full the read loop waits, and through
	// TCP the publisher waits too: `message.ingress.qos1.buffer.size`.
	unstored chan struct{}
	done     chan struct{} // closed when the session is released
}

// known is what the connection remembers of a topic that it may publish to.
type known struct{ route *router.Route }

// maxRoutes is how many topics a connection remembers. At the limit it forgets all of them.
const maxRoutes = 256

var (
	errDisconnect = errors.New("client disconnected")
	errViolation  = errors.New("protocol violation")
	errForbidden  = errors.New("not permitted")
)

// Serve runs a connection until it ends, and closes it. cert is the client's verified certificate, nil if it has none.
func (g *Registry) Serve(conn net.Conn, cert *x509.Certificate) {
	c := &client{
		g: g, conn: conn, cert: cert,
		log:   g.o.Log.WithField(log.KeyAddress, conn.RemoteAddr().String()),
		in:    reader{conn: conn, limit: g.o.PacketMax},
		batch: router.NewBatch(g.store),
		done:  make(chan struct{}),
	}
	c.out = writeQueue{
		conn:    conn,
		direct:  direct(conn),
		timeout: g.o.WriteTimeout,
		limits:  g.o.writeLimits(),
		drop:    func(n int) { g.stats.Dropped.Add(uint64(n)) },
	}
	if !g.enter(c) {
		_ = conn.Close()
		return
	}
	defer g.leave(c)
	err := c.connect()
	if err == nil {
		err = c.serve()
	}
	c.finish(err)
}

// serve handles packets until the connection ends. It returns the reason.
func (c *client) serve() error {
	for {
		for {
			frame, err := c.in.buffered()
			if err != nil {
				return err
			}
			if frame == nil {
				break
			}
			if c.joins(frame) {
				continue
			}
			c.forward()
			if err := c.handle(frame); err != nil {
				return err
			}
		}
		c.forward()
		c.batch.Flush()
		if full := c.batch.Full; full != nil {
			c.batch.Full = nil
			if c.in.flooded() {
				full.Drain()
			}
		}
		if c.keepAlive > 0 {
			_ = c.conn.SetReadDeadline(time.Now().Add(c.keepAlive)) // [MQTT-3.1.2-24]
		}
		if err := c.in.read(); err != nil {
			return err
		}
	}
}

func (c *client) handle(frame []byte) error {
	if frame[0]>>4 == byte(packet.PUBLISH) {
		return c.publish(frame)
	}
	p, err := decode(frame)
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch p := p.(type) {
	case *packet.Puback:
		c.s.acknowledge(packet.PUBACK, p.ID, c, &c.batch)
	case *packet.Pubrec:
		c.s.acknowledge(packet.PUBREC, p.ID, c, &c.batch)
	case *packet.Pubcomp:
		c.s.acknowledge(packet.PUBCOMP, p.ID, c, &c.batch)
	case *packet.Pubrel:
		c.s.release(p.ID, c)
	case *packet.Subscribe:
		return c.subscribe(p)
	case *packet.Unsubscribe:
		return c.unsubscribe(p)
	case *packet.Pingreq:
		c.send(packet.NewPingresp(), &c.batch) // [MQTT-3.12.4-1]
	case *packet.Disconnect:
		return errDisconnect
	default: // a second CONNECT [MQTT-3.1.0-2], or a packet that only servers send
		return fmt.Errorf("%w: %s", errViolation, p.Type())
	}
	return nil
}

// send appends a packet to the write queue. It may be called from any goroutine.
func (c *client) send(p packet.Generic, batch *router.Batch) {
	c.out.send(batch, func(b []byte) []byte {
		n, size := len(b), p.Len()
		b = append(b, make([]byte, size)...)
		if _, err := p.Encode(b[n:]); err != nil {
			panic("encode an answer: " + err.Error())
		}
		return b
	})
}

// sendID sends a packet that is nothing but its id: PUBACK, PUBREC, PUBREL, PUBCOMP. It may be called from any
// goroutine.
func (c *client) sendID(kind packet.Type, id packet.ID, batch *router.Batch) {
	c.out.send(batch, func(b []byte) []byte {
		first := byte(kind) << 4
		if kind == packet.PUBREL {
			first |= 2 // [MQTT-3.6.1-1]
		}
		return append(b, first, 2, byte(id>>8), byte(id))
	})
}

// kick closes the connection; its goroutine then releases the session. It may be called from any goroutine.
func (c *client) kick() { _ = c.conn.Close() }

// finish publishes the will unless the client sent DISCONNECT, closes the connection and releases the session.
func (c *client) finish(err error) {
	c.forward()
	c.batch.Flush()
	entry := c.log.WithError(err)
	switch {
	case errors.Is(err, errDisconnect), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		entry.Debugf("connection ended")
	default:
		entry.Infof("connection closed")
	}
	if c.s != nil {
		c.s.online.Store(nil)
		c.endWill(errors.Is(err, errDisconnect))
	}
	c.out.finish(true)
	c.in.release()
	if c.s != nil {
		c.g.release(c)
	}
	close(c.done)
}
