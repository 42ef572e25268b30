package core

import "github.com/baetyl/baetyl/baetyl-hub/record"

// member chooses who of a group gets a message: the next one that can take it. If nobody can, the loss is counted.
func (c *Core) member(g *group, m *record.Message) (r sub, ok bool) {
	qos := m.QOS
	k := len(g.subs)
	if k == 0 {
		return sub{}, false
	}
	first := (g.next + 1) % k
	for i := range k {
		if g.next = (first + i) % k; c.takes(g.subs[g.next], m) {
			return g.subs[g.next], true
		}
	}
	if qos > 0 {
		c.stats.QueueFull++
		c.dropped(g.subs[first].s, queueFull, 1)
	}
	g.next = first
	return g.subs[first], qos == 0
}

// takes tells whether a member can take a message now: it is connected, and its socket takes what is sent, for QoS 0;
// its queue and memory have room for QoS 1 and 2. One whose SUBACK is not sent yet would lose the message for all.
func (c *Core) takes(r sub, m *record.Message) bool {
	s, qos := r.s, m.QOS
	switch {
	case r.early || s.dead:
		return false
	case min(r.qos, qos) > 0 && s.number != 0:
		return s.reserved-s.q.head < uint64(c.o.QueueMax)
	case s.client == nil || s.client.ended:
		return false
	case min(r.qos, qos) > 0:
		return s.q.len() < c.o.QueueMax && c.afford(s.client, 0, (&entry{message: m}).size(), leaveWaiting) == nil
	}
	return int(s.client.qos0) < c.o.EgressQOS0 && len(s.client.out) < c.o.EgressBytes
}
