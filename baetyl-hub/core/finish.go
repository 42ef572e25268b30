package core

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// finish answers a publication and then delivers it: a client that subscribes to its own topic gets PUBREC before
// PUBLISH.
func (c *Core) finish(x *publication, err error) {
	if err == nil {
		err = x.err
	}
	if x.m.Retain {
		c.renewed(x, err)
	}
	c.answer(x, err)
	at := 0
	for i := range x.parts {
		p := &x.parts[i]
		c.deliver(p.m, x.to[at:at+p.to], x.queued, err)
		at += p.to
	}
	if err == nil {
		c.seen(x)
	}
	if x.done != nil {
		x.done(err)
	}
	c.forget(x)
}

// answer tells the publisher that its message is stored, or ends its connection, so that it sends the message again.
func (c *Core) answer(x *publication, err error) {
	cl := x.from
	if err == nil {
		x.owner.settle()
	} else {
		c.stats.Unstored++
		if x.owner != nil {
			c.owe(x.owner)
		}
		if cl != nil && !cl.ended {
			if l, ok := c.limited(cl, notStored); ok {
				l.WithError(err).Warnf("message to %q could not be stored, closing the connection so that the client sends it "+
					"again", x.m.Topic)
			}
			c.end(cl, err) // MQTT 3.1.1 has no other way to refuse a message
		}
	}
	if x.s != nil {
		c.arrived(x.s, x.id, err)
	} else if cl != nil && x.m.QOS == 1 && err == nil {
		c.sendID(cl, packet.PUBACK, x.id) // [MQTT-4.3.2-2]
	}
	if x.payer != nil && x.queued {
		x.payer.incoming -= x.size
		c.repay(x.payer)
	}
	if cl != nil && x.queued {
		cl.unstored--
		c.resume(cl)
		c.settled(cl)
	}
}

// deliver gives a message to its receivers. With an error it gives them nothing, and their positions stay empty. Of
// those whose subscription is being stored it counts only if it has been queued behind that.
func (c *Core) deliver(m *record.Message, to []delivery, queued bool, err error) {
	var frame []byte
	flagged := false // frame has the retain flag
	expires := tick(0)
	for _, d := range to {
		if d.qos > 0 && expires == 0 {
			expires = c.expires(0)
		}
		switch {
		case d.refused:
			c.enqueue(d.s, d.position, entry{}, errBudget)
		case d.stored:
			if err != nil && !d.s.dead {
				c.giveDisk(d.s, d.share)
			}
			e := entry{message: m, qos: d.qos, retained: d.retained, share: d.share, expires: expires}
			c.enqueue(d.s, d.position, e, err)
		case err != nil || d.s.client == nil || d.early && !queued:
		case d.qos > 0:
			c.enqueueTransient(d.s, entry{message: m, qos: d.qos, retained: d.retained, expires: expires})
		default:
			if frame == nil || flagged != d.retained {
				frame, flagged = appendPublish(nil, m, 0, 0, false, d.retained), d.retained
			}
			c.stats.Passed++
			c.sendQOS0(d.s.client, frame, 1)
		}
	}
}
