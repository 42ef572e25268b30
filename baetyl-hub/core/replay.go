package core

import (
	"bytes"
	"slices"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/topic"
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
	pending string            // topic that could not be sent yet; "": none
	since   uint64            // messages retained later came as live ones
	backlog uint64            // position behind what was stored for the session before
	seen    map[string]uint64 // kept.seq by topic of messages that wait for the session, or came out of its backlog
}

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
	r := &replay{list: list, backlog: s.stored}
	for i, x := range list {
		at := r.index.Put(x.filter)
		*at = append(*at, i)
	}
	s.replays = slices.DeleteFunc(s.replays, func(old *replay) bool { return old.replacedBy(r) })
	s.replays = append(s.replays, r)
	for p := s.q.head; s.number != 0 && p < s.q.tail; p++ {
		c.saw(s, s.q.at(p))
	}
	c.replay(s)
}

// replacedBy removes the filters that another SUBSCRIBE has too, and tells whether none is left.
func (r *replay) replacedBy(x *replay) bool {
	left := 0
	for i := range r.list {
		if f := r.list[i].filter; f != "" && x.index.Get(f) != nil {
			r.list[i].filter = ""
		} else if f != "" {
			left++
		}
	}
	return left == 0
}

// saw notes a message that is in the queue of s, so that it is not sent once more.
func (c *Core) saw(s *Session, e *entry) {
	if len(s.replays) == 0 || e.message == nil || e.state != waiting && e.state != sent {
		return
	}
	k := c.retained.Get(e.message.Topic)
	if k == nil || !bytes.Equal(k.Payload, e.message.Payload) {
		return
	}
	for _, r := range s.replays {
		if r.seen == nil {
			r.seen = map[string]uint64{}
		}
		r.seen[k.Topic] = k.seq
	}
}

// interrupt lets the replays of a session begin anew with its next connection.
func (s *Session) interrupt() {
	for _, r := range s.replays {
		r.walk, r.at, r.pending, r.backlog, r.seen = nil, 0, "", s.reserved, nil
	}
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
			s.replays = slices.Delete(s.replays, 0, 1)
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
	if r.walk == nil {
		r.walk, r.since = c.retained.Walk(r.list[0].filter), c.seq
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
		if k == nil || k.seq > r.since || r.seen[k.Topic] == k.seq {
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
