package core

import (
	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// share is what one of n sessions has of the bytes of a stored message: together they have about what it takes on the
// disk.
func share(m *record.Message, n int) uint32 {
	return uint32((sizeOf(m)+recordSize)/max(n, 1) + 1)
}

// recordSize is about the bytes of a record besides those of its message.
const recordSize = 32

// takeDisk takes what the sessions among to need for a message. Those that have no room do not get it, and their
// positions stay empty.
func (c *Core) takeDisk(m *record.Message, to []delivery) {
	n := 0
	for i := range to {
		if to[i].stored {
			n++
		}
	}
	if n == 0 {
		return
	}
	size := share(m, n)
	for i := range to {
		d := &to[i]
		if !d.stored {
			continue
		}
		by := ofClient
		switch limit := c.o.Client[budget.Disk]; {
		case c.greedy(d.s.account):
			by = c.hub
		case limit == 0 || d.s.disk+int64(size) <= limit:
			by = d.s.account.Take(budget.Disk, int64(size))
		}
		if by != nil {
			d.stored, d.refused = false, true
			c.stats.OverBudget++
			c.refused(d.s.account, by, budget.Disk, 1, d.s.id, "a message is not queued")
			continue
		}
		d.share = size
		d.s.disk += int64(size)
	}
}

// greedy tells whether an account has more than half of what it may have of the disk, and more than seven times what is
// left there: nothing more waits for its sessions, so that others find room. The limit alone does not promise that,
// since the disk also has what nobody needs any more and is not removed yet. Of a disk that others than the hub have
// filled no account has so much: then publications are refused.
func (c *Core) greedy(a *budget.Account) bool {
	used := a.Used(budget.Disk)
	return a.Limit(budget.Disk) > 0 && used > a.Limit(budget.Disk)/2 && used/7 > c.room
}

// giveDisk returns what a message needed that does not wait for the session any more, and all when nothing waits: what
// is gone without having been read is counted then.
func (c *Core) giveDisk(s *Session, size uint32) {
	n := min(s.disk, int64(size))
	if s.waits() == 0 {
		n = s.disk
	}
	s.disk -= n
	s.account.Give(budget.Disk, n)
}

// fits checks the room for what takes room for long.
func (c *Core) fits(x *publication) bool {
	size, at := 0, 0
	for i := range x.parts {
		p := &x.parts[i]
		for _, d := range x.to[at : at+p.to] {
			if d.stored && !c.greedy(d.s.account) {
				size += len(p.m.Payload) + len(p.m.Topic) + 32
				break
			}
		}
		at += p.to
	}
	if x.m.Retain && len(x.m.Payload) > 0 { // an empty one removes a message
		size += len(x.m.Payload) + len(x.m.Topic)
	}
	return size == 0 || int64(size) <= c.room
}

// refuse lets a publication fail when its turn comes, and with it what the client sends after it. It gives the
// positions back: the queue of a session that is not connected must not fill with what was refused.
func (c *Core) refuse(x *publication) {
	c.stats.Full++
	x.err = ErrFull
	for i := range x.to {
		if d := &x.to[i]; d.stored {
			d.stored = false
			d.s.reserved--
		}
	}
	if x.from != nil {
		x.from.refused = true
	}
	if x.s != nil {
		x.s.inbound[x.id].refused = true
	}
}
