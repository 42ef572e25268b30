package sim_test

import (
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/topic"
)

// stamp is a moment of the run. Moments are counted, so that before and after are certain; 0 is never.
type stamp int

// message is one publication, whoever sent it, and however often.
type message struct {
	n      int // its number, which stands in the payload
	by     *client
	user   string
	topic  string
	qos    packet.QOS
	retain bool
	empty  bool // removes a retained message
	will   bool
	seq    int // of its publisher

	at     time.Time
	first  stamp // first sent; of a will: when its connection ended
	acked  stamp // PUBACK or PUBREC; of a will: when it must have been published
	ended  stamp // it does not reach the hub any more, or not again
	copies int   // how often the hub may have taken it as a new one
	on     *connection
}

func (m *message) String() string {
	kind := ""
	if m.retain {
		kind += " retain"
	}
	if m.will {
		kind += " will"
	}
	return fmt.Sprintf("m%d (%s q%d%s of %s)", m.n, m.topic, m.qos, kind, m.by.id)
}

// session is what the hub should know of a client between two CONNECTs with clean session, or of one connection.
type session struct {
	c     *client
	subs  map[string]*sub
	got   map[int]*receipt
	order map[orderKey]int
	known map[packet.ID]int // QoS 2 messages that were taken and not released
	// burned are packet ids of publications that the client has given up: for the hub they may still be in use.
	burned map[packet.ID]bool
}

// sub is a subscription. One that is made again is the same, unless it had ended.
type sub struct {
	filter string
	qos    packet.QOS
	most   packet.QOS // the highest that it had
	first  stamp      // SUBSCRIBE was sent for the first time, also of one that has ended
	asked  stamp      // SUBSCRIBE was sent
	since  stamp      // SUBACK came
	unsure stamp      // it may be gone: UNSUBSCRIBE was sent, or the user could not have it; the last time
	gone   stamp      // UNSUBACK came
}

// receipt is what a session got of one message.
type receipt struct {
	copies  int
	ids     map[packet.ID]bool // of the copies with QoS 1: a session keeps the id of each
	crashes int                // of the hub before the last delivery: it need not know what it has sent
	acked   bool
	on      *connection // that took the acknowledgement
	settled bool        // the hub has it, and will not forget it
}

// orderKey is what messages must share to be in order.
type orderKey struct {
	by        *client
	topic     string
	published packet.QOS
	delivered packet.QOS
}

// rights are the principals of a time; to is 0 while they hold.
type rights struct {
	book     *auth.Book
	from, to stamp
}

// may tells whether a user might do something at any moment from one stamp to another.
func (w *world) may(user string, from, to stamp, what func(*auth.User) bool) bool {
	for _, r := range w.rights {
		if r.from <= to && (r.to == 0 || r.to >= from) {
			if u := r.book.User(user); u != nil && what(u) {
				return true
			}
		}
	}
	return false
}

// always tells whether a user might do something all the time since from.
func (w *world) always(user string, from stamp, what func(*auth.User) bool) bool {
	for _, r := range w.rights {
		if r.to == 0 || r.to >= from {
			if u := r.book.User(user); u == nil || !what(u) {
				return false
			}
		}
	}
	return true
}

func filterOf(f string) string {
	_, filter, _, _ := topic.Share(f)
	return filter
}

// delivered checks a PUBLISH of a current connection, QoS 2 without those that the client knows.
func (w *world) delivered(cn *connection, p *packet.Publish) {
	s := cn.session
	m, ok := w.read(p)
	if !ok {
		return
	}
	now := w.stamp()
	w.got++
	if s.c.id == "observer" && p.Message.Retain {
		w.seen[m.topic] = true
	}
	if !w.legal(s, m, p, now) || p.Message.Retain {
		return
	}
	r := s.got[m.n]
	if r == nil {
		r = &receipt{ids: map[packet.ID]bool{}}
		s.got[m.n] = r
	}
	again := r.ids[p.ID] && p.Message.QOS == 1
	switch {
	case again && !p.Dup && r.crashes == w.crashes:
		w.fail("%s got %s again, without DUP", s.c.id, m)
	case again && r.settled && r.on != cn && m.copies <= r.copies:
		w.fail("%s got %s again, though the hub had its acknowledgement", s.c.id, m)
	case again:
	case r.copies >= m.copies:
		w.fail("%s got %s %d times, sent %d times", s.c.id, m, r.copies+1, m.copies)
	default:
		r.copies++
	}
	r.ids[p.ID], r.crashes, r.acked, r.settled = true, w.crashes, false, false
	if r.copies > 1 || again || m.will {
		return
	}
	if m.copies > 1 && (p.Message.QOS == 0 || !w.owed(s, m)) {
		return // it may have missed the first one
	}
	key := orderKey{m.by, m.topic, m.qos, p.Message.QOS}
	if s.order[key] > m.seq {
		w.fail("%s got %s, number %d of its publisher, after number %d", s.c.id, m, m.seq, s.order[key])
	}
	s.order[key] = m.seq
}

// read returns the message that p has.
func (w *world) read(p *packet.Publish) (*message, bool) {
	if len(p.Message.Payload) == 0 {
		return nil, false
	}
	var n int
	if _, err := fmt.Sscanf(string(p.Message.Payload), "m%d ", &n); err != nil || n >= len(w.messages) {
		w.fail("a message with the payload %q came, which nobody sent", p.Message.Payload)
		return nil, false
	}
	m := w.messages[n]
	if p.Message.Topic != m.topic || string(p.Message.Payload) != string(payload(m)) {
		w.fail("%s came on %s with the payload %q", m, p.Message.Topic, p.Message.Payload)
		return nil, false
	}
	return m, true
}

// legal tells whether the session may get the message at all.
func (w *world) legal(s *session, m *message, p *packet.Publish, now stamp) bool {
	user, found, may := s.c.user, false, false
	if m.first == 0 {
		m.first = now // the hub ends a connection before the client knows
	}
	qos := packet.QOS(0)
	oldest := now
	for _, b := range s.subs {
		if !topic.Match(filterOf(b.filter), m.topic) || b.gone != 0 && m.on.from(m) > b.gone {
			continue
		}
		found = true
		qos = max(qos, b.most)
		oldest = min(oldest, b.first)
		from := b.asked
		if !p.Message.Retain {
			from = max(from, m.first)
		}
		may = may || w.may(user, from, now, func(u *auth.User) bool { return u.MaySubscribe(filterOf(b.filter)) })
	}
	switch {
	case !found:
		w.fail("%s got %s without a subscription", s.c.id, m)
	case !may:
		w.fail("%s got %s, which its user %s may not have", s.c.id, m, user)
	case p.Message.QOS > min(qos, m.qos):
		w.fail("%s got %s with QoS %d, subscribed with %d", s.c.id, m, p.Message.QOS, qos)
	case m.will && m.on.refused:
		w.fail("%s got %s, whose CONNECT was refused", s.c.id, m)
	case m.will && m.on.farewell == sure:
		w.fail("%s got %s after DISCONNECT", s.c.id, m)
	case !w.may(m.user, m.on.from(m), now, func(u *auth.User) bool { return u.MayPublish(m.topic) }):
		w.fail("%s got %s, which its publisher may not send", s.c.id, m)
	case p.Message.Retain && !m.retain:
		w.fail("%s got %s as retained", s.c.id, m)
	case p.Message.Retain && w.stale(m, oldest) != nil:
		w.fail("%s got %s as retained, which %s replaced", s.c.id, m, w.stale(m, oldest))
	default:
		return true
	}
	return false
}

// stale returns a retained message that was there at since, and that must have replaced m.
func (w *world) stale(m *message, since stamp) *message {
	for _, x := range w.retained[m.topic] {
		if x.acked != 0 && x.acked < since && m.ended != 0 && x.first > m.ended {
			return x
		}
	}
	return nil
}

// missing returns the retained message that must be there on a topic that has none.
func (w *world) missing(name string, since stamp) *message {
	var last *message
	for _, x := range w.retained[name] {
		if !x.empty && x.acked != 0 && x.acked < since && (last == nil || x.first > last.first) {
			last = x
		}
	}
	for _, x := range w.retained[name] {
		if last != nil && x.empty && (x.ended == 0 || x.ended > last.first) {
			return nil
		}
	}
	return last
}

// complete checks at the end that each session got all that it must get.
func (w *world) complete() {
	for _, m := range w.messages {
		if m.acked == 0 || m.qos == 0 || m.empty || time.Since(m.at) > retention/2 {
			continue
		}
		for _, c := range w.clients {
			if s := c.session; s != nil && w.owed(s, m) && s.got[m.n] == nil {
				w.fail("%s did not get %s, which is acknowledged", c.id, m)
			}
		}
		if m.topic == sharedTopic && w.sharedOwed(m) {
			n := 0
			for _, c := range w.clients {
				if c.member && c.session != nil && c.session.got[m.n] != nil {
					n++
				}
			}
			if n != 1 {
				w.fail("%d members of the group got %s", n, m)
			}
		}
	}
}

// owed tells whether the session must have got the message.
func (w *world) owed(s *session, m *message) bool {
	for _, b := range s.subs {
		if b.filter[0] != '$' && b.since != 0 && b.since < m.first && b.unsure == 0 && b.qos > 0 &&
			topic.Match(b.filter, m.topic) &&
			w.always(s.c.user, b.since, func(u *auth.User) bool { return u.MaySubscribe(b.filter) }) {
			return true
		}
	}
	return false
}

// sharedOwed tells whether one member of the group must have got the message: the group had one all the time.
func (w *world) sharedOwed(m *message) bool {
	some := false
	for _, c := range w.clients {
		if !c.member {
			continue
		}
		b := c.session.subs[sharedFilter]
		some = some || b != nil && b.since != 0 && b.since < m.first
	}
	return some && m.copies == 1
}
