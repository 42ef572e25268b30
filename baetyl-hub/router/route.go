package router

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/topic"
)

// Route says which sessions get the messages of one topic. A publisher may keep it while it is Fresh.
type Route struct {
	version uint64
	topic   string
	subs    []Sub   // each subscriber once, with its highest QoS
	groups  []group // of each, one member gets the message
	copies  []hop   // static routes, each target once
}

// hop is a static route that a topic takes.
type hop struct {
	route  *Route
	source packet.QOS
	target packet.QOS
}

// Route matches a topic.
func (r *Router) Route(name string) *Route {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.match(name, 0)
}

// Fresh tells whether no subscription and no static route has changed since rt was made.
func (r *Router) Fresh(rt *Route) bool { return rt.version == r.version.Load() }

// Direct tells whether QoS 0 packets of the topic may be forwarded to all subscribers unchanged: the topic has no
// static route and no shared subscription.
func (rt *Route) Direct() bool { return len(rt.groups) == 0 && len(rt.copies) == 0 }

// maxHops is the longest chain of static routes. The configuration refuses cycles; this limits one that was missed.
const maxHops = 32

// match makes the route of a topic. hops is the number of static routes that led to it. It runs with r.mu held.
func (r *Router) match(name string, hops int) *Route {
	rt := &Route{version: r.version.Load(), topic: name}
	branches := 0
	var at map[Subscriber]int // index into rt.subs; made when a second filter matches
	r.subs.Match(name, func(b *branch) {
		for _, g := range b.groups {
			rt.groups = append(rt.groups, g)
		}
		if len(b.subs) == 0 {
			return
		}
		branches++
		if branches == 1 {
			rt.subs = append([]Sub(nil), b.subs...)
			return
		}
		if at == nil {
			at = make(map[Subscriber]int, len(rt.subs)+len(b.subs))
			for i, s := range rt.subs {
				at[s.Subscriber] = i
			}
		}
		for _, s := range b.subs {
			if i, ok := at[s.Subscriber]; !ok {
				at[s.Subscriber] = len(rt.subs)
				rt.subs = append(rt.subs, s)
			} else if s.QOS > rt.subs[i].QOS {
				rt.subs[i].QOS = s.QOS
			}
		}
	})
	for _, s := range r.static {
		if hops < maxHops && topic.Match(s.Source, name) {
			rt.takeHop(r, s, hops+1)
		}
	}
	return rt
}

// takeHop adds a static route, or merges it with one to the same target: the higher source QoS wins, then the higher
// target QoS.
func (rt *Route) takeHop(r *Router, s StaticRoute, hops int) {
	for i := range rt.copies {
		c := &rt.copies[i]
		if c.route.topic != s.Target {
			continue
		}
		if s.SourceQOS > c.source || s.SourceQOS == c.source && s.TargetQOS > c.target {
			c.source, c.target = s.SourceQOS, s.TargetQOS
		}
		return
	}
	rt.copies = append(rt.copies, hop{route: r.match(s.Target, hops), source: s.SourceQOS, target: s.TargetQOS})
}

// qos is the QoS of the copy that a hop makes of a message: 0 if the message or the source has QoS 0, else the
// target's.
func (h hop) qos(published packet.QOS) packet.QOS {
	if published == 0 || h.source == 0 {
		return 0
	}
	return h.target
}
