package auth

import (
	"net"
	"net/netip"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Most lines about refused logins in a minute, of one address and of all.
const (
	linesOfAddress = 5
	linesOfAll     = 60
)

// Refusals limits the lines about refused logins in the log. Its methods may be called from any goroutine.
type Refusals struct{ quota log.Quota[netip.Addr] }

// NewRefusals returns a Refusals that has refused nothing.
func NewRefusals() *Refusals {
	return &Refusals{log.Quota[netip.Addr]{Each: linesOfAddress, All: linesOfAll}}
}

// longestName is how many bytes of a user name or client id the log has: they can have 65535.
const longestName = 128

// Log logs a login that is refused, limited in rate.
func (r *Refusals) Log(l log.Logger, from net.Addr, user, client string, reason error, now time.Time) {
	lines, left := r.quota.Line(addr.Peer(from), now)
	if !lines {
		return
	}
	l = l.WithField(log.KeyAddress, from.String()).WithField(log.KeyUser, cut(user)).WithField(log.KeyClient, cut(client)).
		WithError(reason)
	log.NotLogged(l, left).Warnf("login refused")
}

func cut(name string) string {
	if len(name) > longestName {
		return name[:longestName] + "…"
	}
	return name
}
