package core

import (
	"slices"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/utils/topic"
)

// StaticRoute copies the messages of a source filter to a target topic (`subscriptions` of the configuration).
type StaticRoute struct {
	Source    string     // filter
	SourceQOS packet.QOS // 0 or 1; 0: all copies have QoS 0
	Target    string     // topic
	TargetQOS packet.QOS // 0 or 1; of copies of messages with QoS 1 or 2
}

// branch is what the tree holds at one filter.
type branch struct {
	subs   []sub
	groups map[string]*group // shared subscriptions, by name of the group
}

// sub is a session with the quality of service that it asked for.
type sub struct {
	s     *Session
	qos   packet.QOS
	early bool // SUBACK is not sent yet: only what is stored after the subscription may be delivered
}

// group is a shared subscription.
type group struct {
	subs []sub
	next int // counts messages; selects the member that gets the next one
}

// Route says which sessions get the messages of one topic. It holds while no subscription and no static route changes.
type Route struct {
	version uint64
	topic   string
	subs    []sub    // each session once, with its highest QoS
	groups  []*group // of each, one member gets the message
	copies  []hop    // static routes, each target once
	// what a publication has: copies, itself included, and about that many receivers of all of them
	parts, receivers int
	dropped          bool // messages are acknowledged, and go to nobody
	watches          []Watch
}

// hop is a static route that a topic takes.
type hop struct {
	route  *Route
	source packet.QOS
	target packet.QOS
}

// qos is the QoS of the copy that a hop makes of a message.
func (h hop) qos(published packet.QOS) packet.QOS {
	if published == 0 || h.source == 0 {
		return 0
	}
	return h.target
}

// SetRoutes replaces the static routes. They must not form a cycle; package config checks that.
func (c *Core) SetRoutes(routes []StaticRoute) {
	c.static = routes
	c.version++
}

// direct tells whether QoS 0 packets of the topic may be forwarded to all subscribers unchanged.
func (rt *Route) direct() bool { return len(rt.groups) == 0 && len(rt.copies) == 0 }

// maxHops is the longest chain of static routes. The configuration refuses cycles; this limits one that was missed.
const maxHops = 32

// match makes the route of a topic. hops is the number of static routes that led to it.
func (c *Core) match(name string, hops int) *Route {
	rt := &Route{version: c.version, topic: name, watches: c.watching(name)}
	branches := 0
	var at map[*Session]int // index into rt.subs; made when a second filter matches
	c.subs.Match(name, func(b *branch) {
		for _, g := range b.groups {
			rt.groups = append(rt.groups, g)
		}
		if len(b.subs) == 0 {
			return
		}
		branches++
		if branches == 1 {
			rt.subs = append([]sub(nil), b.subs...)
			return
		}
		if at == nil {
			at = make(map[*Session]int, len(rt.subs)+len(b.subs))
			for i, x := range rt.subs {
				at[x.s] = i
			}
		}
		for _, x := range b.subs {
			if i, ok := at[x.s]; !ok {
				at[x.s] = len(rt.subs)
				rt.subs = append(rt.subs, x)
			} else {
				rt.subs[i].qos = max(rt.subs[i].qos, x.qos)
				rt.subs[i].early = rt.subs[i].early && x.early
			}
		}
	})
	for _, x := range c.static {
		if hops < maxHops && topic.Match(x.Source, name) {
			rt.takeHop(c, x, hops+1)
		}
	}
	rt.parts, rt.receivers = 1, len(rt.subs)+len(rt.groups)
	for _, h := range rt.copies {
		rt.parts += h.route.parts
		rt.receivers += h.route.receivers
	}
	return rt
}

// takeHop adds a static route, or merges it with one to the same target: the higher source QoS wins, then the higher
// target QoS.
func (rt *Route) takeHop(c *Core, x StaticRoute, hops int) {
	for i := range rt.copies {
		h := &rt.copies[i]
		if h.route.topic != x.Target {
			continue
		}
		if x.SourceQOS > h.source || x.SourceQOS == h.source && x.TargetQOS > h.target {
			h.source, h.target = x.SourceQOS, x.TargetQOS
		}
		return
	}
	rt.copies = append(rt.copies, hop{route: c.match(x.Target, hops), source: x.SourceQOS, target: x.TargetQOS})
}

// enroll adds or replaces a subscription in the tree. One that is new is early until it is enrolled again.
func (c *Core) enroll(s *Session, full string, qos packet.QOS, early bool) {
	name, filter, _, _ := topic.Share(full)
	b := c.subs.Put(filter)
	if name == "" {
		b.subs = c.with(b.subs, sub{s, qos, early})
	} else {
		if b.groups == nil {
			b.groups = map[string]*group{}
		}
		g := b.groups[name]
		if g == nil {
			g = &group{}
			b.groups[name] = g
		}
		g.subs = c.with(g.subs, sub{s, qos, early})
	}
	c.version++
}

// with adds or replaces a session in a list.
func (c *Core) with(list []sub, x sub) []sub {
	for i := range list {
		if list[i].s == x.s {
			x.early = x.early && list[i].early
			list[i] = x
			return list
		}
	}
	c.stats.Subscriptions++
	return append(list, x)
}

// expel removes a subscription from the tree.
func (c *Core) expel(s *Session, full string) {
	name, filter, _, _ := topic.Share(full)
	b := c.subs.Get(filter)
	if b == nil {
		return
	}
	if name == "" {
		b.subs = c.without(b.subs, s)
	} else if g := b.groups[name]; g != nil {
		if g.subs = c.without(g.subs, s); len(g.subs) == 0 {
			delete(b.groups, name)
		}
	}
	if len(b.subs) == 0 && len(b.groups) == 0 {
		c.subs.Delete(filter)
	}
	c.version++
}

// without removes a session from a list.
func (c *Core) without(list []sub, s *Session) []sub {
	for i := range list {
		if list[i].s == s {
			c.stats.Subscriptions--
			return slices.Delete(list, i, i+1)
		}
	}
	return list
}
