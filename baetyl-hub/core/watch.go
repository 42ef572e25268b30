package core

import (
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/topic"
)

// Watch sees the messages whose topics its filter matches, when they are stored and delivered, without being a client:
// it has no session, and nobody waits for it. Its methods are called with the lock of the core held and must not wait.
type Watch interface {
	// Filter is a valid filter, always the same.
	Filter() string
	// Full tells whether there is no room for another message now.
	Full() bool
	// Take takes a message, unless it is full. It may keep all of it.
	Take(m Seen)
	// Missed counts messages that have gone by, since it was full.
	Missed(n int)
}

// Seen is a message that a Watch takes.
type Seen struct {
	Topic   string
	Payload []byte
	QOS     packet.QOS // that it was published with
	Retain  bool
	Client  string // who published it, or whose will it is; empty: the hub, as $SYS and a person, or a static route
	User    string
}

// Watch lets w see messages until Unwatch. What it costs is paid by those topics alone that it matches.
func (c *Core) Watch(w Watch) {
	c.watches = append(c.watches, w)
	c.version++
}

// Unwatch ends Watch.
func (c *Core) Unwatch(w Watch) {
	for i, x := range c.watches {
		if x == w {
			last := len(c.watches) - 1
			c.watches[i], c.watches[last] = c.watches[last], nil
			c.watches = c.watches[:last]
			c.version++
			return
		}
	}
}

// watching are those who see the messages of a topic.
func (c *Core) watching(name string) (list []Watch) {
	for _, w := range c.watches {
		if topic.Match(w.Filter(), name) {
			list = append(list, w)
		}
	}
	return list
}

// seen shows a publication that is stored to those who watch.
func (c *Core) seen(x *publication) {
	for i := range x.parts {
		p := &x.parts[i]
		if p.route == nil {
			continue
		}
		for _, w := range p.route.watches {
			if w.Full() {
				w.Missed(1)
				continue
			}
			m := Seen{Topic: p.m.Topic, Payload: p.m.Payload, QOS: p.m.QOS, Retain: p.m.Retain}
			switch {
			case i > 0: // a copy
			case x.from != nil:
				m.Client, m.User = x.from.id, x.from.user.Name
			case x.owner != nil:
				m.Client, m.User = x.owner.client, x.owner.user
			}
			w.Take(m)
		}
	}
}

// seenFrames shows a burst to those who watch.
func (c *Core) seenFrames(from *Client, b *burst, frames []byte) {
	for _, w := range b.route.watches {
		left := b.n
		for data := frames; left > 0 && !w.Full(); left-- {
			n, err := PacketSize(data, c.o.PacketMax)
			if err != nil || n == 0 || n > len(data) {
				break
			}
			_, payload := topicOf(data[:n])
			w.Take(Seen{
				Topic: b.route.topic, Payload: append([]byte(nil), payload...), Client: from.id, User: from.user.Name,
			})
			data = data[n:]
		}
		if left > 0 {
			w.Missed(left)
		}
	}
}

// Kept is a retained message. It must not be changed.
type Kept struct {
	record.Message
	At time.Time // when it came; zero: before the start
}

// RetainedMessages returns the retained messages of topics, of those that still have one.
func (c *Core) RetainedMessages(names []string) (list []Kept) {
	for _, name := range names {
		if k := c.retained.Get(name); k != nil {
			x := Kept{Message: k.Message}
			if k.at != 0 {
				x.At = time.Unix(0, k.at).UTC()
			}
			list = append(list, x)
		}
	}
	return list
}
