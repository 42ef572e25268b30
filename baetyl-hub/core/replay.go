package core

import (
	"bytes"
	"slices"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/utils/topic"
)

// replay is what a session still gets of the retained messages for one SUBSCRIBE. They go out in portions, as the
// socket and the window take them, and others get their turn between two portions.
//
//	SUBACK ─► waits for its backlog ─► walks over the retained messages ─► end
//	                 ▲                      │ connection ends
//	                 └──────────────────────┘
//
// A kept session first gets what was stored for it before, its backlog: what of it is a retained message that would
// follow does not come a second time.
type replay struct {
	list    []subscription // without shared ones
	index   topic.Tree[[]int]
	walk    *topic.Walk[kept] // over the matches of list[at]; nil: it has not begun
	at      int
	pending string // topic that could not be sent yet; "": none
	since   uint64 // messages retained later came as live ones; 0: it has not begun
	backlog uint64 // position behind what was stored for the session before
	began   uint64 // Core.sights at the SUBSCRIBE
}

// sight is a retained message that waits for a session with replays, or came out of its backlog.
type sight struct {
	seq uint64 // of the retained message
	at  uint64 // Core.sights when it was seen last
}

// sightSize is about the bytes of a sight. Its topic is that of the retained message.
const sightSize = 96

const (
	portionMessages = 64
	portionSteps    = 1024     // of a walk
	portionBytes    = 64 << 10 // that may wait to be written when more is added
	roomAgain       = time.Second
)

// sendRetained lets s get the retained messages that match its new subscriptions. [MQTT-3.3.1-6] Each is sent once per
// SUBSCRIBE, with the highest QoS of the matching filters. Shared subscriptions get none, as in other brokers.
//
// All that was published before the subscriptions is stored now. What came afterwards has s among its receivers, and is
// not stored yet: so s gets it later, and misses nothing.
func (c *Core) sendRetained(s *Session, list []subscription) {
	list = slices.DeleteFunc(slices.Clone(list), func(x subscription) bool {
		_, _, shared, _ := topic.Share(x.filter)
		return shared
	})
	if len(list) == 0 || c.retained.Len() == 0 {
		return
	}
	c.sights++
	r := &replay{list: list, backlog: s.stored, began: c.sights}
	r.enlist()
	s.replays = slices.DeleteFunc(s.replays, func(old *replay) bool { return old.replacedBy(r, s) })
	s.replays = append(s.replays, r)
	for p := s.q.head; s.number != 0 && p < s.q.tail; p++ {
		c.saw(s, s.q.at(p))
	}
	c.replay(s)
}

// enlist makes the index of the list.
func (r *replay) enlist() {
	r.index = topic.Tree[[]int]{}
	for i, x := range r.list {
		at := r.index.Put(x.filter)
		*at = append(*at, i)
	}
}

// replacedBy removes the filters that another SUBSCRIBE of s has too, or s has no more, and tells whether none is left.
// So all replays of a session together have no more filters than the session.
func (r *replay) replacedBy(x *replay, s *Session) bool {
	before, at := len(r.list), r.at
	left := r.list[:0]
	for i, f := range r.list {
		_, has := s.subs[f.filter]
		switch {
		case has && x.index.Get(f.filter) == nil:
			left = append(left, f)
		case i < at:
			r.at--
		case i == at:
			r.walk, r.pending = nil, ""
		}
	}
	if r.list = slices.Clone(left); len(left) < before {
		r.enlist()
	}
	return len(left) == 0
}

// saw notes a message that is in the queue of s, so that it is not sent once more. Without memory for that it is.
func (c *Core) saw(s *Session, e *entry) {
	if len(s.replays) == 0 || e.message == nil || e.state != waiting && e.state != sent {
		return
	}
	k := c.retained.Get(e.message.Topic)
	if k == nil || !bytes.Equal(k.Payload, e.message.Payload) {
		return
	}
	if _, has := s.seen[k.Topic]; !has && c.afford(s.client, 0, sightSize, leaveWaiting) != nil {
		return
	}
	if s.seen == nil {
		s.seen = map[string]sight{}
	}
	s.seen[k.Topic] = sight{k.seq, c.sights}
}

// interrupt lets the replays of a session begin anew with its next connection.
func (s *Session) interrupt() {
	for _, r := range s.replays {
		r.walk, r.at, r.pending, r.backlog, r.since = nil, 0, "", s.reserved, 0
	}
	s.seen = nil
}

// replay sends a portion of the retained messages that s still gets. Written and pump call it again when there is room,
// a timer when others have had their turn.
func (c *Core) replay(s *Session) {
	if s.replaying {
		return
	}
	s.replaying = true
	defer func() { s.replaying = false }()
	for n := 0; len(s.replays) > 0 && s.client != nil && !s.client.ended; {
		r := s.replays[0]
		if s.number != 0 && s.q.tail < r.backlog {
			return
		}
		done, full := c.portion(s, r, &n)
		switch {
		case done:
			if s.replays = slices.Delete(s.replays, 0, 1); len(s.replays) == 0 {
				s.seen = nil
			}
		case full:
			return
		default:
			c.replayAt(s, c.now)
			return
		}
	}
}

func (c *Core) replayAt(s *Session, at time.Time) {
	if s.replayTimed {
		return
	}
	s.replayTimed = true
	c.timers.add(at, func() {
		s.replayTimed = false
		c.replay(s)
	})
}

// portion goes on with a replay until it is done, there is no room for more (full), or others have their turn.
func (c *Core) portion(s *Session, r *replay, n *int) (done, full bool) {
	if r.at == len(r.list) {
		return true, false
	}
	if r.walk == nil {
		r.walk = c.retained.Walk(r.list[r.at].filter)
	}
	if r.since == 0 {
		r.since = c.seq
	}
	for steps := 0; steps < portionSteps && *n < portionMessages && s.client != nil; steps++ {
		var k *kept
		if r.pending != "" {
			k = c.retained.Get(r.pending)
			r.pending = ""
		} else if found, more := r.walk.Next(); more {
			k = found
		} else if r.at++; r.at == len(r.list) {
			return true, false
		} else {
			r.walk = c.retained.Walk(r.list[r.at].filter)
		}
		if k == nil || k.seq > r.since || s.saw(r, k) {
			continue
		}
		qos, ok := c.best(s, r, k)
		if !ok {
			continue
		}
		if !c.hand(s, k, qos) {
			r.pending = k.Topic
			return false, true
		}
		*n++
	}
	return false, false
}

// saw tells whether a retained message waits for s, or has come out of its backlog since the SUBSCRIBE.
func (s *Session) saw(r *replay, k *kept) bool {
	x, ok := s.seen[k.Topic]
	return ok && x.seq == k.seq && x.at >= r.began
}

// best returns the QoS of a retained message; not ok: an earlier filter of the SUBSCRIBE has brought it, or s is not
// subscribed any more.
func (c *Core) best(s *Session, r *replay, k *kept) (qos packet.QOS, ok bool) {
	first := -1
	r.index.Match(k.Topic, func(list *[]int) {
		for _, i := range *list {
			x := r.list[i]
			if _, has := s.subs[x.filter]; !has || !c.permits(s, x.filter) {
				continue
			}
			if first < 0 || i < first {
				first = i
			}
			qos = max(qos, min(k.QOS, x.qos))
		}
	})
	return qos, first == r.at
}

// hand sends or queues a retained message, if there is room for it.
func (c *Core) hand(s *Session, k *kept, qos packet.QOS) bool {
	cl, size := s.client, len(k.Payload)+len(k.Topic)+16
	switch {
	case qos == 0 && len(cl.out) > 0 &&
		(len(cl.out) > portionBytes || c.congested(cl) || len(cl.out)+size > c.o.EgressBytes):
		return false
	case c.afford(cl, size, size+128, leaveWaiting) != nil:
		c.replayAt(s, c.now.Add(roomAgain))
		return false
	case qos == 0:
		c.stats.Passed++
		c.sendQOS0(cl, appendPublish(nil, unflagged(&k.Message), 0, 0, false, true), 1)
		return true
	case s.number == 0:
		if s.q.len() >= min(2*c.o.Window, c.o.QueueMax) {
			return false
		}
		c.enqueueTransient(s, entry{message: unflagged(&k.Message), qos: qos, retained: true, expires: c.expires(0)})
		return true
	}
	// If it is being replaced, s gets the newer one, at an earlier position.
	if y := c.renewing[k.Topic]; y != nil {
		y.missed = append(y.missed, missed{s, cl, qos})
		return true
	}
	if s.reserved-s.q.head >= uint64(min(2*c.o.Window, c.o.QueueMax)) {
		return false
	}
	if int64(size+32) > c.room {
		c.replayAt(s, c.now.Add(roomAgain))
		return false
	}
	c.redeliver(s, unflagged(&k.Message), qos)
	return true
}
