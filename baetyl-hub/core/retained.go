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

// retainedAtOnce is how many retained messages a session gets in one event, so that others need not wait for all.
const retainedAtOnce = 256

// sendRetained sends s the retained messages that match its new subscriptions. [MQTT-3.3.1-6] Each is sent once per
// SUBSCRIBE, with the highest QoS of the matching filters. Shared subscriptions get none, as in other brokers. Until
// all are sent, nothing else of cl is handled.
//
// All that was published before the subscriptions is stored now. What came afterwards has s among its receivers, and is
// not stored yet: so s gets it later, and misses nothing.
func (c *Core) sendRetained(s *Session, cl *Client, list []subscription) {
	c.sendFound(s, cl, list, c.findRetained(list))
}

func (c *Core) sendFound(s *Session, cl *Client, list []subscription, all []found) {
	for _, x := range list {
		if _, has := s.subs[x.filter]; !has || !c.permits(s, x.filter) { // it changed between two events
			all = nil
		}
	}
	n := min(len(all), retainedAtOnce)
	for _, x := range all[:n] {
		c.sendOne(s, x)
	}
	if all = all[n:]; s.dead || len(all) == 0 {
		cl.fetching = false
		return
	}
	cl.fetching = true
	c.timers.add(c.now.Add(1), func() {
		if c.sendFound(s, cl, list, all); !cl.fetching {
			c.unblock(cl)
		}
	})
}

// sendOne sends a retained message. If it was replaced since it was found, s has the newer one.
func (c *Core) sendOne(s *Session, x found) {
	kept := c.retained.Get(x.topic)
	if s.dead || kept == nil || &kept.Payload[0] != x.payload {
		return
	}
	m := unflagged(kept)
	switch {
	case x.qos > 0 && s.number != 0:
		if y := c.renewing[x.topic]; y != nil { // s has a newer one among what is being stored, at an earlier position
			y.missed = append(y.missed, missed{s, s.client, x.qos})
		} else {
			c.redeliver(s, m, x.qos)
		}
	case s.client == nil:
	case x.qos == 0:
		c.stats.Passed++
		c.sendQOS0(s.client, appendPublish(nil, m, 0, 0, false, true), 1)
	default:
		c.enqueueTransient(s, entry{message: m, qos: x.qos, retained: true})
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
	c.add(op{p: x})
}

// found is a retained message for a subscription.
type found struct {
	topic   string
	payload *byte // tells it from one that replaces it
	qos     packet.QOS
}

func (c *Core) findRetained(list []subscription) (all []found) {
	at := map[string]int{}
	for _, x := range list {
		if _, _, shared, _ := topic.Share(x.filter); shared {
			continue
		}
		c.retained.Select(x.filter, func(kept *record.Message) bool {
			qos := min(kept.QOS, x.qos)
			if len(list) > 1 {
				if i, ok := at[kept.Topic]; ok {
					all[i].qos = max(all[i].qos, qos)
					return true
				}
				at[kept.Topic] = len(all)
			}
			all = append(all, found{kept.Topic, &kept.Payload[0], qos})
			return true
		})
	}
	return all
}
