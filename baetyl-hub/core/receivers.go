package core

import (
	"fmt"

	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/utils/topic"
)

// ReceiverItem is a Receiver with what the caller needs to complete it.
type ReceiverItem struct {
	hubapi.Receiver
	Number uint64 // as ClientItem.Number
}

// Receivers lists the subscriptions that match the topic Query.Topic, or that of a copy that a static route makes of
// its messages, by client and filter. ErrInvalid: nobody may publish to such a topic.
func (c *Core) Receivers(q Query, pause func()) (items []ReceiverItem, next Key, err error) {
	if err := c.o.Topic.CheckName(q.Topic); err != nil {
		return nil, Key{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t := turns{pause: pause}
	names := copiesOf(c.match(q.Topic, 0), nil)
	p := page[ReceiverItem]{q: q}
	for id, s := range c.sessions {
		if t.step(); s.dead || id < q.After.Client || p.bound != nil && id > p.bound.Client {
			continue
		}
		for full, qos := range s.subs {
			t.step()
			_, filter, _, _ := topic.Share(full)
			for n, name := range names {
				if !topic.Match(filter, name) {
					continue
				}
				r := hubapi.Receiver{Client: id, User: s.user, Filter: full, QOS: int(qos), Durable: s.number != 0,
					Active: !s.inactive || c.permits(s, full), Connected: s.client != nil}
				k := Key{id, full}
				if n > 0 { // the same filter may get several of them
					r.Route, k.Topic = name, full+"\x00"+name
				}
				if p.wants(k) {
					p.add(k, ReceiverItem{r, s.number})
				}
			}
		}
	}
	list, next := p.end()
	for _, x := range list {
		t.step()
		if s := c.sessions[x.x.Client]; s != nil { // else it has ended meanwhile
			x.x.Waiting = c.waiting(s, &t)
			items = append(items, x.x)
		}
	}
	return items, next, nil
}

// copiesOf are the topics of a route: its own first, then those of the copies that static routes make, each once.
func copiesOf(rt *Route, names []string) []string {
	for _, name := range names {
		if name == rt.topic {
			return names
		}
	}
	names = append(names, rt.topic)
	for _, h := range rt.copies {
		names = copiesOf(h.route, names)
	}
	return names
}
