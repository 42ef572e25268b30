package core

import (
	"maps"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

// StoredSession is what the store has of a session.
type StoredSession struct {
	Number   uint64
	Client   string
	User     string
	Filters  map[string]packet.QOS
	Acked    []byte      // as given to record.Batch.Acked; nil: never
	Received []packet.ID // QoS 2 messages from the client that it has not released
	Oldest   uint64      // position of the oldest stored message; Tail: none
	Tail     uint64      // position after the newest stored message
	Bytes    int64       // of messages that wait, about: its share of those that other sessions need too
	Left     bool        // it is known for how long it has had no connection
	Idle     time.Duration
}

// LoadNumber tells the highest number that a session ever had.
func (c *Core) LoadNumber(n uint64) { c.number = max(c.number, n) }

// LoadRetained adds a retained message of the store.
func (c *Core) LoadRetained(m record.Message) {
	if c.retain(&m, c.account(m.Owner)); len(m.Payload) > 0 {
		c.retained.Get(m.Topic).at = 0
	}
}

// LoadSession adds a session. Its messages stay in the store until it connects.
func (c *Core) LoadSession(x StoredSession) {
	s := &Session{
		id: x.Client, user: x.User, number: x.Number, subs: x.Filters, inbound: map[packet.ID]*inbound{},
		q: queue{rings: &c.rings}, account: c.account(x.User), disk: x.Bytes,
	}
	for _, id := range x.Received {
		s.inbound[id] = &inbound{state: arrived}
	}
	if x.Acked != nil {
		if err := s.q.decode(x.Acked); err != nil {
			c.o.Log.WithField(log.KeyClient, x.Client).WithError(err).
				Warnf("acknowledgements of the session are damaged, sending all its stored messages again")
		}
	}
	s.stored = max(x.Tail, s.q.high)
	s.reserved, s.oldest = s.stored, min(x.Oldest, s.stored)
	// These may have been sent before the hub ended: see sendable.
	window := uint64(c.o.Window) * span
	s.q.high = max(s.q.high, min(s.stored, s.q.head+window))
	s.marked = int32(s.q.markBytes())
	c.own(s, 1)
	c.sessions[s.id], s.away = s, c.now.UnixNano()
	c.LoadNumber(s.number)
	c.activate(s)
	c.loadAway(s, x.Left, x.Idle)
}

// activate adds the subscriptions of a session to the tree that its user may have. The others stay inactive until the
// client connects: see recheck.
func (c *Core) activate(s *Session) {
	for f, qos := range s.subs {
		if c.permits(s, f) {
			c.enroll(s, f, qos, false)
		} else {
			s.inactive = true
		}
	}
}

// permits tells whether the user of a session may have a subscription now. It may be no user any more.
func (c *Core) permits(s *Session, full string) bool {
	user := c.users.User(s.user)
	_, filter, _, _ := topic.Share(full)
	return user != nil && user.As(s.id).MaySubscribe(filter)
}

// SetUsers replaces the principals. It closes the connections of users that are removed or changed, or whose client id
// is reserved for others now, and removes subscriptions from the tree that a user may no longer have.
func (c *Core) SetUsers(users *auth.Book) {
	c.users, c.lacking = users, nil
	c.setLimits()
	for cl := range c.clients {
		// A CONNECT that is being stored is compared again when it is: see connected.
		if cl.s != nil {
			if err := c.outdated(cl); err != nil {
				c.end(cl, err)
			}
		}
	}
	c.setRates()
	maps.DeleteFunc(c.lines, func(user string, _ *log.Quota[line]) bool { return user != "" && users.User(user) == nil })
	for _, s := range c.sessions {
		for f := range s.subs {
			if !c.permits(s, f) {
				s.inactive = true
				c.expel(s, f)
			}
		}
	}
}
