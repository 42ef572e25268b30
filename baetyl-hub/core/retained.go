package core

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// kept is a retained message.
type kept struct {
	record.Message
	seq   uint64          // rises with each one that is kept
	owner *budget.Account // nil: the hub keeps it in memory only
	at    int64           // when it came, in ns of Unix time; 0: before the start
}

// retain keeps m as the retained message of its topic, or forgets that of the topic if m is empty. [MQTT-3.3.1-10]
// owner has room for it; nil: it does not count.
func (c *Core) retain(m *record.Message, owner *budget.Account) {
	if old := c.retained.Get(m.Topic); old != nil && old.owner != nil {
		keeping{1, retainedSize(&old.Message)}.give(old.owner)
	}
	if len(m.Payload) == 0 {
		c.retained.Delete(m.Topic)
		return
	}
	c.seq++
	*c.retained.Put(m.Topic) = kept{*m, c.seq, owner, c.now.UnixNano()}
	if owner != nil {
		owner.Load(budget.Retained, 1)
		owner.Load(budget.RetainedBytes, retainedSize(m))
	}
}

// keeping is what retained messages take of an account.
type keeping struct{ messages, bytes int64 }

func (k keeping) give(a *budget.Account) {
	a.Give(budget.Retained, k.messages)
	a.Give(budget.RetainedBytes, k.bytes)
}

func retainedSize(m *record.Message) int64 { return int64(len(m.Topic) + len(m.Payload)) }

// reserve takes what a publication needs to become the retained message of its topic. If that is not there, the message
// is delivered, and does not replace the retained one.
func (c *Core) reserve(x *publication) {
	a, need := c.account(x.m.Owner), keeping{1, retainedSize(x.m)}
	// What it replaces counts, unless that may be another message by then.
	if old := c.retained.Get(x.m.Topic); old != nil && old.owner == a && c.renewing[x.m.Topic] == nil {
		need = keeping{0, max(0, need.bytes-retainedSize(&old.Message))}
	}
	by, r := a.Take(budget.Retained, need.messages), budget.Retained
	if by == nil {
		if by, r = a.Take(budget.RetainedBytes, need.bytes), budget.RetainedBytes; by != nil {
			a.Give(budget.Retained, need.messages)
		}
	}
	if by == nil {
		x.keeper, x.kept = a, need
		return
	}
	client := ""
	switch {
	case x.from != nil:
		client = x.from.id
	case x.owner != nil:
		client = x.owner.client
	}
	c.refused(a, by, r, 1, client, "a message is delivered, but not retained")
	m := unflagged(x.m)
	x.m, x.parts[0].m = m, m
}

// Announce publishes a statistic of the hub, below $SYS, at once, and retains it in memory only: statistics matter most
// when the store fails.
func (c *Core) Announce(name string, payload []byte) {
	m := &record.Message{Topic: name, Payload: payload}
	c.retain(m, nil)
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
func (c *Core) renewed(p *publication, err error) {
	m := p.m
	x := c.renewing[m.Topic]
	x.n--
	if p.keeper != nil {
		p.kept.give(p.keeper)
	}
	if err == nil {
		c.retain(m, p.keeper)
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
	m.Retain, m.Owner = false, ""
	return &m
}

// redeliver stores a retained message for one session, so that it is sent until it is acknowledged.
func (c *Core) redeliver(s *Session, m *record.Message, qos packet.QOS) {
	x := c.publication(m, nil)
	c.receiver(x, sub{s: s, qos: qos}, qos)
	for i := range x.to {
		x.to[i].retained = true
	}
	x.parts = append(x.parts, part{m: m, to: len(x.to)})
	x.queued = true
	if x.payer, x.size = s.client, 2*sizeOf(m); x.payer != nil {
		x.payer.incoming += x.size
	}
	c.write(x, 0)
	c.add(op{p: x})
}
