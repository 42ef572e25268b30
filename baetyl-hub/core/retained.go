package core

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// kept is a retained message.
type kept struct {
	record.Message
	seq uint64 // rises with each one that is kept
}

// retain keeps m as the retained message of its topic, or forgets that of the topic if m is empty. [MQTT-3.3.1-10]
func (c *Core) retain(m *record.Message) {
	if len(m.Payload) == 0 {
		c.retained.Delete(m.Topic)
	} else {
		c.seq++
		*c.retained.Put(m.Topic) = kept{*m, c.seq}
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
	if k := c.retained.Get(m.Topic); k != nil {
		for _, y := range x.missed {
			if y.s.client == y.cl {
				c.redeliver(y.s, unflagged(&k.Message), y.qos)
			}
		}
	}
}

// unflagged copies a retained message for delivery.
func unflagged(retained *record.Message) *record.Message {
	m := *retained
	m.Retain = false
	return &m
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
