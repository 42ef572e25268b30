package core

import (
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
)

// Session is what the hub keeps for a client: its subscriptions, the messages that wait for it, and the exchanges that
// are not complete. A transient session ends with its connection; a durable one ends when a clean session replaces it.
type Session struct {
	id     string // client id, or a made-up key for a client without one
	user   string // whose it is, also when there is no such user any more; "": nobody's yet
	number uint64 // 0: transient
	client *Client

	account     *budget.Account // of user
	subs        map[string]packet.QOS
	inbound     map[packet.ID]*inbound // QoS 2 exchanges that the client began
	q           queue
	disk        int64            // bytes of account for messages that wait on the disk: see share
	reserved    uint64           // the next position
	away        int64            // when it lost its connection, or was loaded, in ns of Unix time; of one without client
	stored      uint64           // position after the newest message that is stored, or refused
	oldest      uint64           // nothing before this position is stored any more
	gaps        []gap            // behind it
	recorded    []uint64         // positions whose PUBREC is being stored
	replays     []*replay        // of its last SUBSCRIBEs
	seen        map[string]sight // by topic, while there are replays
	marked      int32            // bytes of account for the marks of q while there is no client
	bridge      bool             // its client is a bridge, or was one
	inactive    bool             // some of subs are not in the tree: see recheck
	loading     bool             // messages are being read from the store
	timed       bool             // the retry timer runs
	dead        bool             // discarded: nothing is kept for it any more
	starved     bool             // there was no memory to send or read more: a timer, or Written, calls pump
	replaying   bool             // replay runs
	replayTimed bool             // a timer will call it
	dirty       bool             // its progress goes into the next batch
}

// attach lets messages flow to a connection. What was in flight on an earlier one is sent first.
func (c *Core) attach(s *Session, cl *Client) {
	s.client, cl.s, s.bridge = cl, s, cl.bridge
	cl.charged += int(s.marked)
	s.marked = 0
	cl.pace = c.paceOf(cl)
	c.used(s)
	if s.q.has(received) {
		c.record(s) // the store failed to write it
	}
	c.pump(s)
}

// detach ends the hold of a connection on its session; a transient session ends with it.
func (c *Core) detach(s *Session) {
	if s.number == 0 {
		c.forgetLost(s)
	}
	cl := s.client
	cl.s, s.client = nil, nil
	s.interrupt()
	s.loading, s.starved = false, false
	if s.number != 0 {
		s.q.detach()
		s.marked = int32(min(s.q.markBytes(), cl.charged))
		cl.charged -= int(s.marked)
		s.away = c.now.UnixNano()
		c.left(s)
		return
	}
	s.dead = true
	for f := range s.subs {
		c.expel(s, f)
	}
	c.own(s, -1)
	delete(c.sessions, s.id)
	s.q, s.subs, s.inbound, s.replays, s.seen = queue{}, nil, nil, nil, nil
}

// enqueue appends the message at a position that was reserved; with an error there is none at the position.
func (c *Core) enqueue(s *Session, position uint64, e entry, err error) {
	if s.dead {
		return
	}
	s.stored = position + 1
	if err != nil {
		s.missed(position)
	}
	if position != s.q.tail { // it is behind others that are in the store only
		return
	}
	switch {
	case s.client == nil:
	case err != nil:
		s.q.skip(position + 1)
		s.q.trim()
		c.giveDisk(s, 0)
		c.pump(s)
	case s.q.len() < 2*c.o.Window && !s.starved:
		if c.afford(s.client, 0, e.size(), leaveWaiting) != nil {
			c.starve(s) // it is read from the store later
			return
		}
		c.saw(s, &e)
		s.q.take(e)
		c.pump(s)
	}
}

// enqueueTransient appends a message that is not stored.
func (c *Core) enqueueTransient(s *Session, e entry) {
	if s.q.len() >= c.o.QueueMax {
		c.stats.QueueFull++
		c.dropped(s, queueFull, 1)
		return
	}
	if by := c.afford(s.client, 0, e.size(), leaveWaiting); by != nil {
		c.stats.OverBudget++
		c.lost(s.client, by, 1, "a message for a clean session is not queued")
		return
	}
	e.sent = c.now
	s.q.push(e)
	c.pump(s)
}

// pump sends what the window has room for.
func (c *Core) pump(s *Session) {
	now := c.tick()
	for s.client != nil {
		e, position, ok := s.q.sendable(c.o.Window)
		if !ok {
			break
		}
		if e.state == waiting && e.expired(now) {
			c.expire(s, position)
			continue
		}
		if e.state == waiting && c.afford(s.client, e.size(), 0, leaveMoving) != nil {
			c.starve(s)
			break
		}
		switch e.state {
		case waiting:
			c.transmit(s, e, position)
		case released:
			c.transmitRelease(s, e, position)
		}
		if s.client == nil { // it was so slow that its connection has ended
			return
		}
		s.q.advance()
	}
	if s.client != nil {
		c.fetch(s)
		c.watch(s)
	}
	if len(s.replays) > 0 {
		c.replay(s)
	}
}

// transmit sends an entry as PUBLISH.
func (c *Core) transmit(s *Session, e *entry, position uint64) {
	m, qos, dup, retained := e.message, e.qos, e.dup, e.retained
	cl, start := s.client, len(s.client.out)
	e.state, e.sent, e.dup = sent, time.Time{}, true
	c.stats.Sent++
	c.sendPublish(cl, m, qos, packetID(position), dup, retained)
	c.copied(cl, position, start)
}

// fetch asks the store for messages before pump needs them.
func (c *Core) fetch(s *Session) {
	if s.loading || s.starved || s.number == 0 || s.q.tail >= s.stored || int(s.q.tail-s.q.next) >= c.o.FetchMax {
		return
	}
	if s.q.tail-s.q.head >= maxSpan/2 {
		return // what is in flight has to end first
	}
	s.loading = true
	c.fx.Load = append(c.fx.Load, Load{
		Session: s.number, From: s.q.tail, Max: c.o.FetchMax, s: s, to: s.client, stored: s.stored,
	})
}

// Read answers a Load: the messages of the session from l.From on, in order. What is missing between l.From and next is
// gone; without entries, next may be l.From. After an error the core asks again a second later.
func (c *Core) Read(l Load, entries []record.Entry, next uint64, err error) {
	s := l.s
	if s.dead || s.client == nil || s.client != l.to || !s.loading {
		return
	}
	if err != nil {
		c.o.Log.WithField(log.KeyClient, s.id).WithError(err).
			Warnf("read queued messages failed, trying again in %s", readAgain)
		c.timers.add(c.now.Add(readAgain), func() {
			if s.client == l.to && s.client != nil {
				s.loading = false
				c.pump(s)
			}
		})
		return
	}
	s.loading = false
	if len(entries) == 0 && next <= l.From {
		next = l.stored // all that was stored when the store was asked is gone
	}
	head := s.q.head
	next = min(next, s.stored) // what is behind may be written, but is not known to be stored
	for _, e := range entries {
		if e.Position < s.q.tail {
			continue
		}
		if e.Position >= next {
			break
		}
		if !s.q.skip(e.Position) {
			next = s.q.tail
			break
		}
		x := entry{
			message: e.Message, qos: e.QOS, retained: e.Retained, share: share(e.Message, e.Targets), expires: c.expires(e.Age),
		}
		if c.afford(s.client, 0, x.size(), leaveWaiting) != nil {
			next = s.q.tail
			c.starve(s)
			break
		}
		s.q.take(x)
		c.saw(s, s.q.at(s.q.tail-1))
	}
	s.q.skip(next)
	s.q.trim()
	if s.q.head != head {
		c.progress(s) // after a restart, what is sent from here on counts as sent
	}
	c.giveDisk(s, 0)
	c.pump(s)
}

// readAgain is the time after which messages are read again that could not be read.
const readAgain = time.Second

// watch starts the retry timer if messages are in flight.
func (c *Core) watch(s *Session) {
	if s.timed || s.q.inFlight == 0 || c.o.Retry <= 0 {
		return
	}
	s.timed = true
	c.timers.add(c.now.Add(c.o.Retry), func() { c.repeat(s) })
}

// repeat sends again each message, and each PUBREL, that the socket took Options.Retry ago.
func (c *Core) repeat(s *Session) {
	s.timed = false
	old := c.now.Add(-c.o.Retry)
	for p := s.q.head; p < s.q.next && s.client != nil; p++ {
		e := s.q.at(p)
		if e.state == received {
			c.record(s) // the store failed to write it
		} else if e.sent.IsZero() || e.sent.After(old) {
			continue
		} else if e.state == sent && c.afford(s.client, e.size(), 0, leaveMoving) == nil {
			c.stats.Repeated++
			c.transmit(s, e, p)
		} else if e.state == released {
			c.transmitRelease(s, e, p)
		}
	}
	if s.client != nil {
		c.watch(s)
	}
}
