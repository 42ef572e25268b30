package core

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// What clients cause is in the log, with client and user: at most one line a minute of one client and kind, and
// mostLines of one user, so that nobody hides what others do. The next line has how often it has come since.
const mostLines = 60

// mayLog tells whether a line may be logged about a client of a user, and how many were left out. What comes before
// a login has no user.
func (c *Core) mayLog(user string, about line) (ok bool, hidden uint64) {
	q := c.lines[user]
	if q == nil {
		if user != "" && c.users.User(user) == nil {
			return c.mayLog("", about)
		}
		q = &log.Quota[line]{Each: 1, All: mostLines}
		c.lines[user] = q
	}
	return q.Line(about, c.now)
}

// line is what a line is about.
type line struct {
	kind kind
	who  string // client id; the address of a client without one
}

type kind uint8

const (
	other kind = iota // an end for another reason
	takenOver
	keepAlive
	slowClient
	losing
	removed
	noFilter
	noWill
	notStored
)

func (cl *Client) line(k kind) line {
	if cl.id != "" {
		return line{k, cl.id}
	}
	return line{k, addr.Peer(cl.Handle.RemoteAddr()).String()}
}

// ended counts the end of a connection and logs it.
func (c *Core) ended(cl *Client, err error) {
	refusal, k := Refusal{}, other
	switch {
	case errors.As(err, &refusal), errors.Is(err, errDisconnect), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		c.entry(cl).WithError(err).Debugf("connection ended")
		return
	case errors.Is(err, errReloaded): // of each, as it was asked for
		c.entry(cl).WithError(err).Infof("connection closed")
		return
	case errors.Is(err, errTakenOver):
		k = takenOver
		c.stats.TakenOver++
	case errors.Is(err, ErrKeepAlive):
		k = keepAlive
		c.stats.KeepAlive++
	case errors.Is(err, errSlow), errors.Is(err, ErrWriteTimeout):
		k = slowClient
		c.stats.Slow++
	}
	if l, ok := c.limited(cl, k); ok {
		l.WithError(err).Infof("connection closed")
	}
}

// limited returns the log for a line about a client; not ok: there may be none now.
func (c *Core) limited(cl *Client, k kind) (l log.Logger, ok bool) {
	user := ""
	if cl.user != nil {
		user = cl.user.Name
	}
	ok, hidden := c.mayLog(user, cl.line(k))
	if !ok {
		return nil, false
	}
	return log.NotLogged(c.entry(cl), hidden), true
}

// limitedOf is limited for a client that need not be connected.
func (c *Core) limitedOf(user, client string, k kind) (l log.Logger, ok bool) {
	ok, hidden := c.mayLog(user, line{k, client})
	if !ok {
		return nil, false
	}
	return log.NotLogged(c.entryOf(user, client), hidden), true
}

// entryOf returns the log with the fields of a client.
func (c *Core) entryOf(user, client string) log.Logger {
	return c.o.Log.WithField(log.KeyClient, client).WithField(log.KeyUser, user)
}

// loss is a reason why a session does not get a message, or why a client's message is dropped.
type loss uint8

const (
	slowReader loss = iota
	queueFull
	overRate
	tooOld
	losses // how many there are
)

var lossTexts = [losses]string{
	"the client reads too slowly (message.egress.qos0.buffer)",
	"its queue is full (session.queue.max)",
	"it publishes faster than its rate (limits.client.publish, limits.principal.publish)",
	"they were too old (message.ingress.qos1.cleanup.retention)",
}

// misses are the messages that a session did not get.
type misses struct {
	all    uint64         // since the start of the hub
	unsaid [losses]uint64 // those that no line in the log has yet, by reason
	said   bool           // there was one in the last minute
}

func (c *Core) missedBy(s *Session) *misses {
	x := c.missed[s]
	if x == nil {
		x = &misses{}
		c.missed[s] = x
	}
	return x
}

// dropped counts messages of a session that are dropped. The first one is logged at once, then once a minute how many
// there were.
func (c *Core) dropped(s *Session, why loss, n uint64) {
	if s == nil || s.dead {
		return
	}
	x := c.missedBy(s)
	x.all += n
	if x.unsaid[why] += n; x.said {
		return
	}
	x.said = true
	c.sayLost(s, x)
	c.sayLostAgain()
}

// sayLostAgain lets a timer log the losses of a minute.
func (c *Core) sayLostAgain() {
	if c.saying {
		return
	}
	c.saying = true
	c.timers.add(c.now.Add(time.Minute), func() {
		c.saying = false
		again := false
		for s, x := range c.missed {
			if x.said = x.unsaid != ([losses]uint64{}); x.said {
				c.sayLost(s, x)
				again = true
			}
		}
		if again {
			c.sayLostAgain()
		}
	})
}

// sayLost logs what a session has lost since the last line.
func (c *Core) sayLost(s *Session, x *misses) {
	l, about := c.entryOf(s.user, s.id), line{losing, s.id}
	if cl := s.client; cl != nil {
		l, about = c.entry(cl), cl.line(losing)
	}
	ok, hidden := c.mayLog(s.user, about)
	if !ok {
		return // with the next line
	}
	var list []string
	for why, n := range x.unsaid {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d since %s", n, lossTexts[why]))
		}
	}
	x.unsaid = [losses]uint64{}
	log.NotLogged(l, hidden).Infof("messages dropped: %s", strings.Join(list, "; "))
}

// forgetLost logs what is left of a session's losses, at its end.
func (c *Core) forgetLost(s *Session) {
	if x := c.missed[s]; x != nil && x.unsaid != ([losses]uint64{}) {
		c.sayLost(s, x)
	}
	delete(c.missed, s)
}
