package session

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
)

// publish handles a PUBLISH of the client.
//
// A plain QoS 0 packet of a Direct route starts a burst: it is forwarded as it was read, together with those of the
// same topic that follow it, and copied only into the write queues. Any other packet is decoded and becomes a
// router.Publication; receipt answers it when it is stored.
func (c *client) publish(frame []byte) error {
	c.g.stats.Received.Add(1)
	name := topicOf(frame)
	if name == nil {
		return errMalformed
	}
	k, err := c.lookup(name)
	if err != nil {
		return err
	}
	if isPlain(frame) && len(c.unstored) == 0 && k.route.Direct() {
		c.burst = burst{route: k.route, name: name, start: c.in.r - len(frame), end: c.in.r, n: 1}
		return nil
	}
	var p packet.Publish
	if n, err := p.Decode(frame); err != nil || n != len(frame) {
		return fmt.Errorf("%w: PUBLISH", errMalformed)
	}
	return c.accept(&p, k.route)
}

// isPlain tells whether a PUBLISH has QoS 0 and no flags, and a remaining length without padding: some clients do not
// accept padding.
func isPlain(frame []byte) bool {
	_, size := binary.Uvarint(frame[1:])
	return frame[0] == byte(packet.PUBLISH)<<4 && (size == 1 || frame[size] != 0)
}

// burst is a series of plain PUBLISH packets of one topic, one after the other in the read buffer.
type burst struct {
	route      *router.Route
	name       []byte // the topic, in the read buffer
	start, end int    // in the read buffer
	n          int    // packets; 0: none
}

// joins adds a packet to the current burst if it belongs there, and tells whether it did.
func (c *client) joins(frame []byte) bool {
	f := &c.burst
	// A burst is dropped as a whole, so it is small compared with the limit of a write queue.
	if f.n == 0 || !isPlain(frame) || f.n >= c.out.limits.messages/8 || !bytes.Equal(topicOf(frame), f.name) ||
		!c.g.router.Fresh(f.route) {
		return false
	}
	f.end = c.in.r
	f.n++
	c.g.stats.Received.Add(1)
	return true
}

// forward sends the current burst to the subscribers.
func (c *client) forward() {
	if f := &c.burst; f.n > 0 {
		f.route.Forward(c.in.buf[f.start:f.end], f.n, &c.batch)
		f.n = 0
	}
}

// topicOf returns the topic of a PUBLISH, nil if the packet is malformed.
func topicOf(frame []byte) []byte {
	_, size := binary.Uvarint(frame[1:])
	body := frame[1+size:]
	if len(body) < 2 {
		return nil
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if len(body) < n {
		return nil
	}
	return body[2:n]
}

// lookup returns the route of a topic, after checking that the client may publish to it. [MQTT-3.3.5-2]
func (c *client) lookup(name []byte) (*known, error) {
	k := c.routes[string(name)]
	if k == nil {
		topic := string(name)
		if err := c.g.o.Topic.CheckName(topic); err != nil {
			return nil, fmt.Errorf("%w: %w", errViolation, err)
		}
		if !c.user.MayPublish(topic) {
			c.g.stats.Forbidden.Add(1)
			return nil, fmt.Errorf("publish to %q: %w", topic, errForbidden)
		}
		if len(c.routes) >= maxRoutes || c.routes == nil {
			c.routes = map[string]*known{}
		}
		k = &known{c.g.router.Route(topic)}
		c.routes[topic] = k
	} else if !c.g.router.Fresh(k.route) {
		k.route = c.g.router.Route(string(name))
	}
	return k, nil
}

// accept gives a decoded PUBLISH to the router, unless it repeats a QoS 2 message.
func (c *client) accept(p *packet.Publish, route *router.Route) error {
	if p.Message.QOS == 2 {
		if fresh, err := c.s.begin(p.ID, c); err != nil || !fresh {
			return err
		}
	}
	inOrder := len(c.unstored) > 0
	c.takeToken()
	x := &router.Publication{
		Message: p.Message, Route: route, InOrder: inOrder, ID: p.ID, Done: c.receipt, Tokens: c.unstored,
	}
	if p.Message.QOS == 2 {
		x.Receiver = c.s.number
	}
	c.g.router.Publish(x, &c.batch)
	return nil
}

// takeToken puts a token into unstored. It waits while unstored is full.
func (c *client) takeToken() {
	select {
	case c.unstored <- struct{}{}:
	default:
		c.batch.Flush() // before waiting: the tokens come back when the messages of this batch are stored
		c.unstored <- struct{}{}
	}
}

// receipt tells the client that its message is stored. It runs on the goroutine of the read loop or of the store.
func (c *client) receipt(p *router.Publication, err error, batch *router.Batch) {
	if err != nil {
		c.log.WithError(err).
			Warnf("message to %q could not be stored, closing the connection so that the client sends it again", p.Message.Topic)
		_ = c.conn.Close() // MQTT 3.1.1 has no other way to refuse a message
	}
	switch {
	case p.Message.QOS == 2:
		c.s.arrived(p.ID, err, batch)
	case p.Message.QOS == 1 && err == nil:
		c.sendID(packet.PUBACK, p.ID, batch) // [MQTT-4.3.2-2]
	}
}
