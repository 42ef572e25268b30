package session

import (
	"fmt"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
)

// subscribe handles SUBSCRIBE: it grants or refuses each filter by itself, and sends the retained messages of those
// that it grants.
func (c *client) subscribe(p *packet.Subscribe) error {
	ack := packet.NewSuback()
	ack.ID = p.ID // [MQTT-3.8.4-2]
	var granted []router.Subscription
	for _, x := range p.Subscriptions {
		code := x.QOS
		if err := c.maySubscribe(x.Topic); err != nil {
			c.g.stats.Forbidden.Add(1)
			c.log.WithError(err).Infof("subscription refused")
			code = packet.QOSFailure // [MQTT-3.8.4-5]
		} else {
			granted = append(granted, router.Subscription{Filter: x.Topic, QOS: x.QOS})
		}
		ack.ReturnCodes = append(ack.ReturnCodes, code)
	}
	s := c.s
	c.batch.Flush() // store earlier packets of the client first
	if err := c.g.commit(func(tx *store.Tx) error {
		for _, x := range granted {
			tx.PutFilter(s.number, x.Filter, x.QOS)
		}
		return nil
	}, s.number != 0 && len(granted) > 0); err != nil {
		return err
	}
	s.mu.Lock()
	for _, x := range granted {
		s.subs[x.Filter] = x.QOS // replaces an identical one [MQTT-3.8.4-3]
	}
	s.mu.Unlock()
	// SUBACK is queued before any message of the new subscriptions.
	since := c.g.router.Subscribe(s, granted, func() { c.send(ack, &c.batch) })
	c.batch.Flush()
	c.g.router.SendRetained(s, granted, since)
	return nil
}

func (c *client) maySubscribe(full string) error {
	_, filter, _, err := topic.Share(full)
	if err != nil {
		return err
	}
	if err := c.g.o.Topic.CheckFilter(filter); err != nil {
		return err
	}
	if !c.user.MaySubscribe(filter) {
		return fmt.Errorf("subscribe to %q: %w", full, errForbidden)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if _, has := c.s.subs[full]; !has && len(c.s.subs) >= c.g.o.SubscriptionsMax {
		return fmt.Errorf("subscribe to %q: the client already has %d subscriptions (session.subscriptions.max)",
			full, len(c.s.subs))
	}
	return nil
}

// unsubscribe handles UNSUBSCRIBE; filters without subscription are acknowledged too. [MQTT-3.10.4-5]
func (c *client) unsubscribe(p *packet.Unsubscribe) error {
	c.batch.Flush()
	if err := c.g.remove(c.s, p.Topics); err != nil {
		return err
	}
	ack := packet.NewUnsuback()
	ack.ID = p.ID // [MQTT-3.10.4-4]
	c.send(ack, &c.batch)
	return nil
}

// remove removes subscriptions of a session from router and store.
func (g *Registry) remove(s *Session, filters []string) error {
	g.router.Unsubscribe(s, filters)
	s.mu.Lock()
	for _, f := range filters {
		delete(s.subs, f)
	}
	s.mu.Unlock()
	return g.commit(func(tx *store.Tx) error {
		for _, f := range filters {
			tx.DeleteFilter(s.number, f)
		}
		return nil
	}, s.number != 0)
}
