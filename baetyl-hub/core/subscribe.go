package core

import (
	"errors"
	"fmt"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/topic"
)

// subscription is a filter with its quality of service. The filter may be shared: $share/<group>/<filter>.
type subscription struct {
	filter string
	qos    packet.QOS
}

// subscribe handles SUBSCRIBE: it grants or refuses each filter by itself. Messages that are stored from now on reach
// the session. When the filters are stored, SUBACK follows, and then the retained messages.
func (c *Core) subscribe(cl *Client, p *packet.Subscribe) {
	s := cl.s
	ack := packet.NewSuback()
	ack.ID = p.ID // [MQTT-3.8.4-2]
	var granted []subscription
	before := map[string]packet.QOS{}
	for _, x := range p.Subscriptions {
		if qos, has := s.subs[x.Topic]; has {
			before[x.Topic] = qos
		}
	}
	c.work += costly * len(p.Subscriptions)
	for _, x := range p.Subscriptions {
		code := x.QOS
		if err := c.maySubscribe(cl, x.Topic); err != nil {
			if !errors.Is(err, errBudget) { // of that the log has a line, limited in rate
				c.stats.Forbidden++
				if l, ok := c.limited(cl, noFilter); ok {
					l.WithError(err).Infof("subscription refused")
				}
			}
			code = packet.QOSFailure // [MQTT-3.8.4-5]
		} else {
			granted = append(granted, subscription{x.Topic, x.QOS})
			c.put(s, x.Topic, x.QOS, true) // replaces an identical one [MQTT-3.8.4-3]
		}
		ack.ReturnCodes = append(ack.ReturnCodes, code)
	}
	var write func(b *record.Batch)
	if len(granted) > 0 {
		write = func(b *record.Batch) {
			for _, x := range granted {
				b.PutFilter(s.number, x.filter, x.qos)
			}
		}
	}
	c.change(cl, write, func(err error) {
		if err != nil {
			for _, x := range granted {
				c.takeBack(s, x.filter, before)
			}
			return
		}
		for _, x := range granted {
			if c.permits(s, x.filter) { // else the users were replaced meanwhile
				c.enroll(s, x.filter, s.subs[x.filter], false)
			}
		}
		c.send(cl, ack)
		if s.client == cl {
			c.sendRetained(s, granted)
		}
	})
}

// change stores a change of a client's subscriptions, which write adds to the batch; nil: there is none. done may send
// the answer, or undoes the change after an error, which ends the connection. Until then nothing else that the client
// sends is handled, and no other connection gets the session.
func (c *Core) change(cl *Client, write func(b *record.Batch), done func(err error)) {
	s := cl.s
	if s.number == 0 {
		write = nil
	}
	if write != nil {
		c.changing[s.id] = &change{user: s.user}
	}
	cl.blocked = true
	c.later(write, func(err error) {
		if !s.dead {
			done(err)
		}
		if err != nil {
			c.end(cl, err)
		}
		c.unblock(cl)
		if write != nil {
			c.next(s.id)
		}
	})
}

// put adds or replaces a subscription of a session.
func (c *Core) put(s *Session, filter string, qos packet.QOS, early bool) {
	if s.subs == nil {
		s.subs = map[string]packet.QOS{}
	}
	s.subs[filter] = qos
	c.enroll(s, filter, qos, early)
}

// takeBack undoes the change of a subscription that could not be stored.
func (c *Core) takeBack(s *Session, filter string, before map[string]packet.QOS) {
	qos, had := before[filter]
	switch {
	case !had:
		c.drop(s, filter)
		c.expel(s, filter)
	case c.permits(s, filter):
		c.restore(s, filter)
		c.put(s, filter, qos, false)
	default: // the users were replaced meanwhile
		c.restore(s, filter)
		s.subs[filter], s.inactive = qos, true
		c.expel(s, filter)
	}
}

func (c *Core) maySubscribe(cl *Client, full string) error {
	_, filter, _, err := topic.Share(full)
	if err != nil {
		return err
	}
	if err := c.o.Topic.CheckFilter(filter); err != nil {
		return err
	}
	if !cl.user.As(cl.id).MaySubscribe(filter) {
		return fmt.Errorf("subscribe to %q: %w", full, errForbidden)
	}
	if _, has := cl.s.subs[full]; !has && len(cl.s.subs) >= c.o.SubscriptionsMax {
		return fmt.Errorf("subscribe to %q: the client already has %d subscriptions (session.subscriptions.max)",
			full, len(cl.s.subs))
	} else if !has {
		return c.takeSubscription(cl.s, full)
	}
	return nil
}

// unsubscribe handles UNSUBSCRIBE; filters without subscription are acknowledged too. [MQTT-3.10.4-5]
func (c *Core) unsubscribe(cl *Client, p *packet.Unsubscribe) {
	s := cl.s
	before := map[string]packet.QOS{}
	for _, f := range p.Topics {
		if qos, has := s.subs[f]; has {
			before[f] = qos
			c.drop(s, f)
			c.expel(s, f)
		}
	}
	var write func(b *record.Batch)
	if len(before) > 0 {
		write = func(b *record.Batch) {
			for _, f := range p.Topics {
				b.DeleteFilter(s.number, f)
			}
		}
	}
	c.change(cl, write, func(err error) {
		if err != nil {
			for _, f := range p.Topics {
				if _, had := before[f]; had {
					c.takeBack(s, f, before)
				}
			}
			return
		}
		c.sendID(cl, packet.UNSUBACK, p.ID) // [MQTT-3.10.4-4]
	})
}
