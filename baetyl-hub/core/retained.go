package core

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
)

// retain keeps m as the retained message of its topic, or forgets that of the topic if m is empty. [MQTT-3.3.1-10]
func (c *Core) retain(m *record.Message) {
	if len(m.Payload) == 0 {
		c.retained.Delete(m.Topic)
	} else {
		*c.retained.Put(m.Topic) = *m
	}
}

// Announce publishes a statistic of the hub, below $SYS, at once, and retains it in memory only: statistics matter most
// when the store fails.
func (c *Core) Announce(name string, payload []byte) {
	m := &record.Message{Topic: name, Payload: payload}
	c.retain(m)
	c.submit(c.publication(m, c.match(name, 0)), false)
}

// renewal is a retained message that is being replaced.
type renewal struct {
	n      int // publications that are being stored
	missed []missed
}

// missed is a subscriber that was to get the retained message, and gets one of those that are being stored instead.
type missed struct {
	s   *Session
	cl  *Client
	qos packet.QOS
}

// renew notes that a retained message is being stored.
func (c *Core) renew(name string) {
	x := c.renewing[name]
	if x == nil {
		x = &renewal{}
		c.renewing[name] = x
	}
	x.n++
}

// renewed keeps m as the retained message of its topic when it is stored. If it is not, subscribers that have missed
// the one before get that now.
func (c *Core) renewed(m *record.Message, err error) {
	x := c.renewing[m.Topic]
	x.n--
	if err == nil {
		c.retain(m)
		x.missed = nil
	}
	if x.n > 0 {
		return
	}
	delete(c.renewing, m.Topic)
	if kept := c.retained.Get(m.Topic); kept != nil {
		for _, y := range x.missed {
			if y.s.client == y.cl {
				c.redeliver(y.s, unflagged(kept), y.qos)
			}
		}
	}
}

// unflagged copies a retained message for delivery.
func unflagged(kept *record.Message) *record.Message {
	m := *kept
	m.Retain = false
	return &m
}

// sendRetained sends s the retained messages that match its new subscriptions. [MQTT-3.3.1-6] Each is sent once per
// SUBSCRIBE, with the highest QoS of the matching filters. Shared subscriptions get none, as in other brokers.
//
// All that was published before the subscriptions is stored now. What came afterwards has s among its receivers, and is
// not stored yet: so s gets it later, and misses nothing.
func (c *Core) sendRetained(s *Session, list []subscription) {
	for _, x := range c.findRetained(list) {
		if s.client == nil {
			return
		}
		m := x.m
		switch {
		case x.qos == 0:
			c.stats.Passed++
			c.sendQOS0(s.client, appendPublish(nil, m, 0, 0, false, true), 1)
		case s.number == 0:
			c.enqueueTransient(s, entry{message: m, qos: x.qos, retained: true})
		default:
			// If it is being replaced, s gets the newer one, at an earlier position.
			if y := c.renewing[m.Topic]; y != nil {
				y.missed = append(y.missed, missed{s, s.client, x.qos})
			} else {
				c.redeliver(s, m, x.qos)
			}
		}
	}
}

// redeliver stores a retained message for one session, so that it is sent until it is acknowledged.
func (c *Core) redeliver(s *Session, m *record.Message, qos packet.QOS) {
	x := c.publication(m, nil)
	c.receiver(x, sub{s: s, qos: qos}, qos)
	for i := range x.to {
		x.to[i].retained = true
	}
	x.parts = append(x.parts, part{m, len(x.to)})
	x.queued = true
	c.write(x, 0)
	c.batch.ops = append(c.batch.ops, op{p: x})
}

type found struct {
	m   *record.Message
	qos packet.QOS
}

func (c *Core) findRetained(list []subscription) (all []found) {
	at := map[string]int{}
	for _, x := range list {
		if _, _, shared, _ := topic.Share(x.filter); shared {
			continue
		}
		c.retained.Select(x.filter, func(kept *record.Message) bool {
			qos := min(kept.QOS, x.qos)
			if i, ok := at[kept.Topic]; ok {
				all[i].qos = max(all[i].qos, qos)
				return true
			}
			at[kept.Topic] = len(all)
			all = append(all, found{unflagged(kept), qos})
			return true
		})
	}
	return all
}
