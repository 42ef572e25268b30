package core

import "github.com/baetyl/baetyl/baetyl-hub/budget"

// gap are positions for which nothing is stored: the batch failed.
type gap struct{ from, to uint64 }

// maxGaps is how many gaps of a session are remembered. Others count as messages.
const maxGaps = 16

// missed remembers a position whose message could not be stored.
func (s *Session) missed(position uint64) {
	for len(s.gaps) > 0 && s.gaps[0].to <= s.waitsFrom() {
		s.gaps = s.gaps[1:]
	}
	if n := len(s.gaps); n > 0 && s.gaps[n-1].to == position {
		s.gaps[n-1].to++
	} else if n < maxGaps {
		s.gaps = append(s.gaps, gap{position, position + 1})
	}
}

// waitsFrom is a position before which nothing waits.
func (s *Session) waitsFrom() uint64 { return max(s.q.head, s.oldest) }

// waits is the number of messages that the session has waiting or unacknowledged.
func (s *Session) waits() int {
	from := s.waitsFrom()
	n := int(s.reserved - from)
	for _, g := range s.gaps {
		n -= int(max(g.to, from) - max(g.from, from))
	}
	return n
}

// Expired tells that the store has removed old messages. oldest has the position of the oldest one that is left, by
// number, of each session that lost some. They make room in the queue of a session that is not connected.
func (c *Core) Expired(oldest map[uint64]uint64) {
	for _, s := range c.sessions {
		before := s.waits()
		s.oldest = max(s.oldest, min(oldest[s.number], s.reserved))
		after := s.waits()
		if after >= before {
			continue
		}
		c.dropped(s, tooOld, uint64(before-after))
		if s.disk > 0 {
			left := s.disk / int64(before) * int64(after)
			s.account.Give(budget.Disk, s.disk-left)
			s.disk = left
		}
	}
}
