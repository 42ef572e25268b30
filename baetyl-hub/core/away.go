package core

import (
	"container/list"
	"slices"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// away are the kept sessions without connection, if Options.SessionExpiry is set. The store keeps when each lost its
// connection, in running time of the hub: neither a clock that jumps nor a time without power removes a session.
//
//	attach ──► used: connected ──► detach ──► left: not any more ──SessionExpiry──► removed
//
// A session whose end of use the store does not know, since the hub was killed, is unused from the next start on.
type away struct {
	order list.List // of *awaySession, those that have waited longest first
	at    map[*Session]*list.Element
	timed bool
}

type awaySession struct {
	s     *Session
	since time.Time
}

func (u *away) add(s *Session, since time.Time) {
	if u.at == nil {
		u.at = map[*Session]*list.Element{}
	}
	u.at[s] = u.order.PushBack(&awaySession{s, since})
}

func (u *away) forget(s *Session) {
	if e := u.at[s]; e != nil {
		u.order.Remove(e)
		delete(u.at, s)
	}
}

// used notes that a session has a connection.
func (c *Core) used(s *Session) {
	if c.o.SessionExpiry > 0 && s.number != 0 {
		c.away.forget(s)
		c.batch.Records.Used(s.number, true)
	}
}

// left notes that a session has no connection any more.
func (c *Core) left(s *Session) {
	if c.o.SessionExpiry > 0 && !s.dead {
		c.away.add(s, c.now)
		c.batch.Records.Used(s.number, false)
		c.removeAwayAt()
	}
}

// loadAway adds a session that the store has. Nothing is known of one that a hub without Options.SessionExpiry left,
// or one that was killed.
func (c *Core) loadAway(s *Session, known bool, idle time.Duration) {
	if c.o.SessionExpiry <= 0 {
		return
	}
	if !known {
		idle = 0
		c.later(func(b *record.Batch) { b.Used(s.number, false) }, func(error) {})
	}
	c.away.add(s, c.now.Add(-idle))
}

// sortAway ends the start.
func (c *Core) sortAway() {
	var all []*awaySession
	for e := c.away.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*awaySession))
	}
	slices.SortStableFunc(all, func(a, b *awaySession) int { return a.since.Compare(b.since) })
	c.away = away{}
	for _, x := range all {
		c.away.add(x.s, x.since)
	}
	c.removeAwayAt()
}

// removeAwayAt lets a timer call removeAway when the first session is due.
func (c *Core) removeAwayAt() {
	e := c.away.order.Front()
	if e == nil || c.away.timed {
		return
	}
	c.away.timed = true
	due := e.Value.(*awaySession).since.Add(c.o.SessionExpiry)
	if soon := c.now.Add(removeAgain); due.Before(soon) {
		due = soon
	}
	c.timers.add(due, func() {
		c.away.timed = false
		c.removeAway()
		c.removeAwayAt()
	})
}

// mostRemoved is how many sessions are removed at a time, removeAgain the time between two of them: others have their
// turn meanwhile.
const (
	mostRemoved = 100
	removeAgain = 10 * time.Millisecond
)

// removeAway removes sessions that are due.
func (c *Core) removeAway() {
	for range mostRemoved {
		e := c.away.order.Front()
		if e == nil {
			return
		}
		x := e.Value.(*awaySession)
		if idle := c.now.Sub(x.since); idle < c.o.SessionExpiry {
			return
		}
		c.away.forget(x.s)
		if _, changing := c.changing[x.s.id]; !changing { // else its client is back, or another one gets the id
			c.removeSession(x.s, x.since)
		} else {
			c.away.add(x.s, c.now)
		}
	}
}

// removeSession removes a session that nobody has used since then.
func (c *Core) removeSession(s *Session, since time.Time) {
	c.changing[s.id] = &change{user: s.user}
	c.later(func(b *record.Batch) { b.DeleteSession(s.number) }, func(err error) {
		if err != nil {
			c.away.add(s, c.now) // the next attempt is as far away as if it had been used
			c.removeAwayAt()
		} else {
			c.stats.Removed++
			if l, ok := c.limitedOf(s.user, s.id, removed); ok {
				l.Infof("the session is removed: nobody has used it for %s (session.expiry)",
					c.now.Sub(since).Round(time.Second))
			}
			c.discard(s)
		}
		c.next(s.id)
	})
}
