package auth

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
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

// longestName is how many bytes of a user name or client id the log has: they can have 65535.
const longestName = 128

// Log logs a login that is refused, limited in rate.
func (r *Refusals) Log(l log.Logger, from net.Addr, user, client string, reason error, now time.Time) {
	lines, left := r.Line(addr.Peer(from), now)
	if !lines {
		return
	}
	l = l.WithField(log.KeyAddress, from.String()).WithField("user", cut(user)).WithField(log.KeyClient, cut(client)).
		WithError(reason)
	if left > 0 {
		l = l.WithField("not_logged", left)
	}
	l.Warnf("login refused")
}

func cut(name string) string {
	if len(name) > longestName {
		return name[:longestName] + "…"
	}
	return name
}
