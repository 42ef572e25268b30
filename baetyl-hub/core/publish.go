package core

import (
	"fmt"
	"math"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/topic"
)

// publication is a message from its arrival until it is stored and delivered.
type publication struct {
	m      *record.Message
	route  *Route
	from   *Client    // nil: the hub itself
	s      *Session   // of a QoS 2 message: the session whose exchange it is
	id     packet.ID  // of from
	owner  *testament // of a will; nil: it is none
	will   string     // of a will that is in the store: its key, which is removed with it
	parts  []part     // the message, and copies of it by static routes
	to     []delivery // of all parts, one after the other
	err    error      // why it can't be stored
	queued bool       // it is in a batch
	payer  *Client    // who has size bytes of memory for it while it is queued; nil: nobody
	size   int
	keeper *budget.Account // has kept in the accounts, until it is kept as retained message
	kept   keeping
	done   func(error) // called at the end; nil: nobody asks
}

// part is the message itself or a copy of it.
type part struct {
	m     *record.Message
	to    int    // deliveries
	route *Route // nil: it was published before, and is delivered once more
}

// delivery is one receiver of a part.
type delivery struct {
	s        *Session
	position uint64 // in the queue of s, if it is stored for s
	qos      packet.QOS
	stored   bool
	refused  bool // it would have been, but the session has no room: see takeDisk
	retained bool
	share    uint32 // bytes that it has taken of the account of s
	early    bool   // not before SUBACK
}

// publish handles PUBLISH. A plain QoS 0 packet of a direct route begins a burst.
func (c *Core) publish(cl *Client, frame []byte, b *burst, end int) error {
	c.received(cl, 1, len(frame))
	name, rest := topicOf(frame)
	if name == nil {
		return ErrMalformed
	}
	rt, err := c.lookup(cl, name)
	if err != nil {
		return err
	}
	plain := isPlain(frame)
	if !plain && c.afford(cl, 0, c.costOf(rt, len(frame)), leaveMoving) != nil {
		c.received(cl, -1, -len(frame))
		c.thirst(cl)
		return errLater
	}
	if cl.pace != nil {
		c.passHeld(cl, c.now)
		if frame[0]&7 == 0 && !cl.pace.passes(c.now, len(frame)) {
			c.dropOver(cl)
			return nil
		}
	}
	if plain && cl.unstored == 0 && rt.direct() {
		*b = burst{
			route: rt, name: name, head: frame[:len(frame)-len(rest)], size: len(frame), start: end - len(frame), end: end, n: 1,
			full: b.full,
		}
		return nil
	}
	m, id, err := decodePublish(frame, rest, rt.topic)
	if err != nil {
		return err
	}
	if m.QOS == 2 {
		if fresh, err := c.begin(cl.s, id, cl); err != nil || !fresh {
			return err
		}
	}
	if m.Retain = m.Retain && !rt.dropped; m.Retain {
		m.Owner = cl.user.Name
	}
	x := c.publication(m, rt)
	x.from, x.id = cl, id
	x.payer, x.size = cl, c.costOf(rt, len(frame))
	if m.QOS == 2 {
		x.s = cl.s
	}
	if cl.pace != nil && frame[0]&7 != 0 && c.hold(cl, x, len(frame)) {
		return nil
	}
	c.submit(x, cl.unstored > 0)
	return nil
}

// received counts PUBLISH packets of a client, and their bytes.
func (c *Core) received(cl *Client, n, bytes int) {
	c.stats.Received += uint64(n) // less than 0: it wraps around
	cl.published += uint64(n)
	cl.bytes += uint64(bytes)
}

// maxRoutes is how many topics a connection remembers. At the limit it forgets all of them.
const maxRoutes = 256

// lookup returns the route of a topic, after checking that the client may publish to it. [MQTT-3.3.5-2]
func (c *Core) lookup(cl *Client, name []byte) (*Route, error) {
	rt := cl.routes[string(name)]
	if rt != nil && rt.version == c.version {
		return rt, nil
	}
	if rt != nil {
		rt = c.routeOf(rt.topic)
		c.remember(cl, rt)
		return rt, nil
	}
	c.work += unknown
	text := string(name)
	if !topic.BridgeState(text) {
		if err := c.o.Topic.CheckName(text); err != nil {
			return nil, fmt.Errorf("%w: %w", errViolation, err)
		}
		if !cl.user.As(cl.id).MayPublish(text) {
			c.stats.Forbidden++
			return nil, fmt.Errorf("publish to %q: %w", text, errForbidden)
		}
	}
	if len(cl.routes) >= maxRoutes {
		cl.routes, cl.cached = nil, 0
	}
	rt = c.routeOf(text)
	c.remember(cl, rt)
	return rt, nil
}

// routeOf returns the route of a topic that clients publish to.
func (c *Core) routeOf(name string) *Route {
	if topic.BridgeState(name) { // every bridge tells it, and nobody writes below $SYS
		return &Route{version: c.version, topic: name, dropped: true}
	}
	return c.match(name, 0)
}

// publication returns an empty publication of m.
func (c *Core) publication(m *record.Message, rt *Route) *publication {
	var x *publication
	if last := len(c.unused) - 1; last >= 0 {
		x, c.unused = c.unused[last], c.unused[:last]
	} else {
		x = &publication{}
	}
	x.m, x.route = m, rt
	return x
}

// forget keeps the memory of a publication for another one.
func (c *Core) forget(x *publication) {
	if len(c.unused) >= 1024 || cap(x.to) > 64 {
		return
	}
	clear(x.parts)
	clear(x.to)
	*x = publication{parts: x.parts[:0], to: x.to[:0]}
	c.unused = append(c.unused, x)
}

// submit routes a publication. If there is nothing to store, and nothing to wait for, it is delivered at once; else it
// goes into the batch.
func (c *Core) submit(x *publication, inOrder bool) {
	c.split(x, x.route, x.m)
	c.work += costly * len(x.to)
	if x.m.Retain && len(x.m.Payload) > 0 {
		c.reserve(x)
	}
	stored := false
	for i := range x.to {
		stored = stored || x.to[i].stored
	}
	receiver := uint64(0)
	if x.s != nil {
		receiver = x.s.number
	}
	if !stored && !inOrder && !x.m.Retain && receiver == 0 && x.will == "" {
		c.finish(x, nil)
		return
	}
	x.queued = true
	if x.from != nil {
		x.from.unstored++
	}
	if x.payer != nil {
		x.payer.incoming += x.size
	}
	if x.m.Retain {
		c.renew(x.m.Topic)
	}
	c.write(x, receiver)
	c.add(op{p: x})
}

// split collects the receivers of m and of its copies.
func (c *Core) split(x *publication, rt *Route, m *record.Message) {
	n := len(x.to)
	for _, r := range rt.subs {
		if r.s.bridge && x.from != nil && x.from == r.s.client && m == x.m {
			continue
		}
		before := len(x.to)
		c.receiver(x, r, m.QOS)
		for i := range x.to[before:] {
			x.to[before+i].retained = r.s.bridge && m.Retain
		}
	}
	for _, g := range rt.groups {
		if r, ok := c.member(g, m); ok {
			c.receiver(x, r, m.QOS)
		}
	}
	x.parts = append(x.parts, part{m, len(x.to) - n, rt})
	for _, h := range rt.copies {
		c.split(x, h.route, &record.Message{
			Topic: h.route.topic, Payload: m.Payload, Properties: m.Properties, QOS: h.qos(m.QOS),
		})
	}
}

func (c *Core) receiver(x *publication, r sub, qos packet.QOS) {
	d := delivery{s: r.s, qos: min(r.qos, qos), early: r.early}
	if d.qos > 0 && r.s.number != 0 {
		if r.s.dead {
			return
		}
		if r.s.waits() >= c.o.QueueMax {
			c.stats.QueueFull++
			c.dropped(r.s, queueFull, 1)
			return
		}
		d.stored, d.position = true, r.s.reserved
		r.s.reserved++
	}
	x.to = append(x.to, d)
}

// write adds what is stored of a publication to the batch.
func (c *Core) write(x *publication, receiver uint64) {
	first := record.Publication{Message: x.m, Retain: x.m.Retain, Receiver: receiver, ID: x.id, Will: x.will}
	before := len(c.batch.Records.Data)
	if x.from != nil && x.from.refused || !c.fits(x) {
		c.refuse(x)
		return
	}
	at := 0
	for i := range x.parts {
		p := &x.parts[i]
		c.takeDisk(p.m, x.to[at:at+p.to])
		c.targets = c.targets[:0]
		for _, d := range x.to[at : at+p.to] {
			if d.stored {
				c.targets = append(c.targets,
					record.Target{Session: d.s.number, Position: d.position, QOS: d.qos, Retained: d.retained})
			}
		}
		at += p.to
		r := record.Publication{Message: p.m}
		if i == 0 {
			r = first
		}
		if r.Targets = c.targets; len(r.Targets) > 0 || r.Retain || r.Receiver != 0 || r.Will != "" {
			c.batch.Records.Publish(&r)
		}
	}
	if c.room != math.MaxInt64 {
		c.room -= int64(len(c.batch.Records.Data) - before)
	}
}
