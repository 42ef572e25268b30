package core

import (
	"fmt"
	"strings"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/utils/topic"
)

// The methods of this file tell what a Core has. They change nothing. Lists look at all entries for each page, since
// nothing is kept for them; pause is called between portions, and other events may happen in it.

// ClientItem is a Client with what the caller needs to complete it.
type ClientItem struct {
	hubapi.Client
	Number uint64 // of its session in the store; 0: it is not there
	Handle Handle // of NewClient
}

// SessionItem is a Session with what the caller needs to complete it.
type SessionItem struct {
	hubapi.Session
	Number uint64 // as ClientItem.Number
}

// Clients lists connections that have a session, and returns the key for the next page; zero: there is none.
func (c *Core) Clients(q Query, pause func()) (items []ClientItem, next Key) {
	t := turns{pause: pause}
	list, next := c.pick(q, &t, func(s *Session) bool { return s.client != nil })
	for _, x := range list {
		t.step()
		s := x.x
		waits := c.waiting(s, &t)
		if s.client == nil { // it has left meanwhile
			continue
		}
		items = append(items, ClientItem{c.clientOf(s, waits), s.number, s.client.Handle})
	}
	return items, next
}

func (c *Core) clientOf(s *Session, waits hubapi.Waiting) hubapi.Client {
	cl, version := s.client, "3.1.1"
	if cl.version != packet.Version311 {
		version = "3.1"
	}
	return hubapi.Client{
		Client: s.id, User: s.user, Address: cl.Handle.RemoteAddr().String(), Protocol: version, Bridge: cl.bridge,
		Since: c.begun.Add(time.Duration(cl.opened) * time.Second).UTC(), KeepAlive: int(cl.keepAlive),
		Unsent: int64(len(cl.out) + len(cl.early) + len(cl.rest)), Published: cl.published, Bytes: cl.bytes, Waiting: waits,
	}
}

// Sessions lists sessions as Clients does connections.
func (c *Core) Sessions(q Query, pause func()) (items []SessionItem, next Key) {
	t := turns{pause: pause}
	list, next := c.pick(q, &t, func(*Session) bool { return true })
	for _, x := range list {
		t.step()
		s := x.x
		waits := c.waiting(s, &t)
		if s.dead {
			continue
		}
		item := SessionItem{hubapi.Session{
			Client: s.id, User: s.user, Durable: s.number != 0, Connected: s.client != nil, Subscriptions: len(s.subs),
			Waiting: waits,
		}, s.number}
		if s.client == nil {
			item.Away = int64(max(0, c.now.Sub(time.Unix(0, s.away))) / time.Second)
		}
		items = append(items, item)
	}
	return items, next
}

// pick selects sessions.
func (c *Core) pick(q Query, t *turns, keep func(*Session) bool) ([]entryOf[*Session], Key) {
	p := page[*Session]{q: q}
	for id, s := range c.sessions {
		t.step()
		if k := (Key{Client: id}); p.wants(k) && q.has(s) && keep(s) {
			p.add(k, s)
		}
	}
	return p.end()
}

func (q *Query) has(s *Session) bool {
	return strings.HasPrefix(s.id, q.Client) && strings.HasPrefix(s.user, q.User)
}

// waiting tells what waits for a session. Of one that is stored the store knows bytes and age.
func (c *Core) waiting(s *Session, t *turns) hubapi.Waiting {
	w := hubapi.Waiting{InFlight: int(s.q.inFlight)}
	if x := c.missed[s]; x != nil {
		w.Dropped = x.all
	}
	if s.number != 0 {
		w.Queued = s.waits()
		return w
	}
	for p := s.q.head; p < s.q.tail; p++ {
		if t.step(); p < s.q.head { // acknowledged meanwhile
			p = s.q.head
		}
		if p >= s.q.tail {
			break
		}
		if e := s.q.at(p); e.message != nil {
			w.Queued++
			w.QueuedBytes += int64(len(e.message.Topic) + len(e.message.Payload))
			if w.Queued == 1 && !e.sent.IsZero() {
				w.Oldest = int64(max(0, c.now.Sub(e.sent)) / time.Second)
			}
		}
	}
	return w
}

// Subscriptions lists subscriptions by client and filter; Query.Topic is a prefix of the filter.
func (c *Core) Subscriptions(q Query, pause func()) (items []hubapi.Subscription, next Key) {
	t := turns{pause: pause}
	p := page[hubapi.Subscription]{q: q}
	for id, s := range c.sessions {
		t.step()
		if id < q.After.Client || p.bound != nil && id > p.bound.Client || !q.has(s) {
			continue
		}
		for f, qos := range s.subs {
			t.step()
			if k := (Key{id, f}); p.wants(k) && strings.HasPrefix(f, q.Topic) {
				p.add(k, hubapi.Subscription{
					Client: id, User: s.user, Filter: f, QOS: int(qos), Active: !s.inactive || c.permits(s, f),
				})
			}
		}
	}
	list, next := p.end()
	for _, x := range list {
		items = append(items, x.x)
	}
	return items, next
}

// Retained lists retained messages by topic.
func (c *Core) Retained(q Query, pause func()) (items []hubapi.RetainedMessage, next Key) {
	t := turns{pause: pause}
	p := page[hubapi.RetainedMessage]{q: q}
	c.retained.All(func(k *kept) bool {
		t.step()
		if key := (Key{Topic: k.Topic}); p.wants(key) && strings.HasPrefix(k.Topic, q.Topic) {
			item := hubapi.RetainedMessage{Topic: k.Topic, QOS: int(k.QOS), Size: len(k.Payload)}
			if k.at != 0 {
				age := int64(max(0, c.now.Sub(time.Unix(0, k.at))) / time.Second)
				item.Age = &age
			}
			p.add(key, item)
		}
		return true
	})
	list, next := p.end()
	for _, x := range list {
		items = append(items, x.x)
	}
	return items, next
}

// RetainedTopics returns the topics of retained messages that a filter matches.
func (c *Core) RetainedTopics(filter string, pause func()) (names []string) {
	t := turns{pause: pause}
	c.retained.All(func(k *kept) bool {
		if t.step(); topic.Match(filter, k.Topic) {
			names = append(names, k.Topic)
		}
		return true
	})
	return names
}

// Access tells whether a user may publish to a topic or subscribe to a filter, and which rule says so. client is the
// client id; "": one that the hub assigns.
func (c *Core) Access(user, client, action, name string) hubapi.Decision {
	of := auth.Publish
	if action == hubapi.ActionPublish {
		if topic.BridgeState(name) {
			const text = "the state of a bridge: the hub takes it from all, and gives it to nobody"
			return hubapi.Decision{Allowed: true, Reason: text}
		}
		if err := c.o.Topic.CheckName(name); err != nil {
			return hubapi.Decision{Reason: err.Error()}
		}
	} else {
		of = auth.Subscribe
		_, filter, _, err := topic.Share(name)
		if err == nil {
			err = c.o.Topic.CheckFilter(filter)
		}
		if err != nil {
			return hubapi.Decision{Reason: err.Error()}
		}
		name = filter
	}
	rule, permit, err := c.users.Explain(user, client, of, name)
	if err != nil {
		return hubapi.Decision{Reason: fmt.Sprint(err)}
	}
	return hubapi.Decision{Allowed: true, Rule: rule, Permit: permit}
}
