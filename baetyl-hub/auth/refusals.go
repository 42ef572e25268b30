package auth

import (
	"net/netip"
	"sync"
	"time"
)

// Most lines about refused logins in a minute, of one address and of all.
const (
	linesOfAddress = 5
	linesOfAll     = 60
)

// Refusals limits the lines about refused logins in the log. Its zero value is ready, its methods may be called from
// any goroutine.
type Refusals struct {
	mu     sync.Mutex
	since  time.Time          // the minute began
	lines  int                // in it
	by     map[netip.Addr]int // of them, by address: no more entries than lines
	hidden uint64             // refusals since the last line
}

// Line tells whether a refusal may be logged, and how many have not been since the last one that was.
func (r *Refusals) Line(from netip.Addr, now time.Time) (ok bool, hidden uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) >= time.Minute {
		r.since, r.lines, r.by = now, 0, map[netip.Addr]int{}
	}
	if r.lines >= linesOfAll || r.by[from] >= linesOfAddress {
		r.hidden++
		return false, 0
	}
	r.lines++
	r.by[from]++
	hidden, r.hidden = r.hidden, 0
	return true, hidden
}
