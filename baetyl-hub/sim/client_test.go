package sim_test

import (
	"slices"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/internal/sim"
)

// client is a client id with its user, over all its connections. Its fields belong to world.mu.
type client struct {
	w      *world
	id     string
	user   string
	kept   bool // it connects without clean session
	member bool // of the shared subscription, and of nothing else

	session *session // the newest; nil: none
	present answer   // whether the hub has a session of it
	cn      *connection
	id16    packet.ID
	seq     int
	out     []*exchange
	former  *session // the one before, which the hub has if it has refused to discard it

	reading  reading
	withhold bool // acknowledgements wait
}

// answer is what is known of something at the hub.
type answer int

const (
	no answer = iota
	sure
	perhaps
)

// reading is how a client reads.
type reading int

const (
	readsAll reading = iota
	readsSlowly
	readsNothing
)

// exchange is a publication of QoS 1 or 2 that is not complete.
type exchange struct {
	m        *message
	id       packet.ID
	released bool // PUBREC came
}

// connect opens a connection and sends CONNECT. One that is there is taken over.
func (c *client) connect(clean bool, will *message) {
	w := c.w
	if w.hub == nil {
		return
	}
	if old := c.cn; old != nil {
		old.old = true
		w.lose(old)
	}
	near, far := w.net.Pair(sim.Link{Latency: w.latency(), Buffer: 1 << (9 + w.rnd.IntN(8))})
	if clean || c.cn != nil && c.cn.clean {
		c.end()
	}
	cn := &connection{c: c, conn: near, opened: w.stamp(), clean: clean, will: will, hooks: map[packet.ID]func([]uint8){}}
	c.cn = cn
	p := packet.NewConnect()
	p.ClientID, p.CleanSession, p.Username, p.Password = c.id, clean, c.user, c.user
	p.KeepAlive = 30
	if will != nil {
		will.on = cn
		w.conns = append(w.conns, cn)
		p.Will = &packet.Message{Topic: will.topic, Payload: payload(will), QOS: will.qos}
	}
	if c.present == no && !clean {
		c.present = perhaps
	}
	hub := w.hub
	w.tasks.Go(func() { hub.serve(far) })
	cn.send(p)
	w.tasks.Go(cn.read)
}

// from is the moment at which the user had to have the right to publish m.
func (cn *connection) from(m *message) stamp {
	if m.will {
		return cn.opened
	}
	return m.first
}

// end is the end of the session.
func (c *client) end() {
	if c.session != nil {
		c.former = c.session
	}
	c.session, c.present = nil, no
	c.giveUp()
}

// giveUp forgets publications that are not complete.
func (c *client) giveUp() {
	for _, x := range c.out {
		c.w.given = append(c.w.given, x.m)
		if c.former != nil {
			c.former.burned[x.id] = true
		}
	}
	c.out = nil
}

// ids is how many packet ids a client uses, but for floods: few, so that it uses them again and again.
const ids = 40

// number returns a packet id that is not in use.
func (c *client) number() packet.ID {
	for tries := 0; ; tries++ {
		if c.id16++; c.id16 > ids && len(c.out) < ids/2 && tries < ids {
			c.id16 = 1
		}
		used := slices.ContainsFunc(c.out, func(x *exchange) bool { return x.id == c.id16 })
		if used || c.session != nil && c.session.burned[c.id16] || c.cn != nil && c.cn.hooks[c.id16] != nil {
			continue
		}
		return c.id16
	}
}

// ready tells whether the client may send.
func (c *client) ready() bool {
	return c.cn != nil && c.cn.accepted && !c.cn.ended && c.cn.farewell == no
}

// send publishes a new message.
func (c *client) send(name string, qos packet.QOS, retain, empty bool) {
	m := c.w.newMessage(c, name, qos)
	m.retain, m.empty = retain, empty
	c.seq++
	m.seq, m.first, m.copies, m.on = c.seq, c.w.stamp(), 1, c.cn
	if retain {
		c.w.retained[name] = append(c.w.retained[name], m)
	}
	x := &exchange{m: m}
	if qos > 0 {
		x.id = c.number()
		c.out = append(c.out, x)
	}
	c.cn.send(x.packet(false))
}

// subscribe asks for a filter.
func (c *client) subscribe(filter string, qos packet.QOS) {
	w, cn, s := c.w, c.cn, c.session
	b := s.subs[filter]
	if b == nil {
		b = &sub{filter: filter, qos: qos, most: qos, first: w.stamp()}
		s.subs[filter] = b
	}
	if b.asked == 0 || b.gone != 0 {
		b.asked, b.since, b.unsure, b.gone, b.qos = w.stamp(), 0, 0, 0, qos
		b.most = max(b.most, qos)
	}
	sent := w.stamp()
	id := c.number()
	cn.hooks[id] = func(codes []uint8) {
		may := func(u *auth.User) bool { return u.MaySubscribe(filterOf(filter)) }
		granted := len(codes) == 1 && codes[0] == uint8(b.qos)
		switch {
		case granted && !w.may(c.user, sent, w.stamp(), may):
			w.fail("%s: %s is granted, which %s may not have", cn, filter, c.user)
		case granted && (b.since == 0 || b.unsure != 0 && b.unsure < sent):
			b.since = w.stamp()
			if b.unsure < sent { // else the user lost the right before SUBACK came
				b.unsure = 0
			}
		}
	}
	cn.send(&packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Topic: filter, QOS: b.qos}}})
}

// unsubscribe ends a subscription.
func (c *client) unsubscribe(b *sub) {
	id := c.number()
	b.unsure = c.w.stamp()
	c.cn.hooks[id] = func([]uint8) { b.gone = c.w.stamp() }
	c.cn.send(&packet.Unsubscribe{ID: id, Topics: []string{b.filter}})
}

// forbid gives up the publications that the user may not send any more.
func (c *client) forbid() {
	w := c.w
	c.out = slices.DeleteFunc(c.out, func(x *exchange) bool {
		may := w.rights[len(w.rights)-1].book.User(c.user).MayPublish(x.m.topic)
		if !may && !x.released {
			w.given = append(w.given, x.m)
			if c.session != nil {
				c.session.burned[x.id] = true
			}
		}
		return !may && !x.released
	})
}
