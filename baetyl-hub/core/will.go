package core

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// testament is a will with whose it is. The same client id may have one of each user: nobody voids that of another one.
type testament struct {
	key    string // in the store
	client string
	user   string // "": nobody knows, since an older hub has stored it
	m      *record.Message
}

func (s *Session) testament(m *record.Message) *testament {
	return &testament{record.WillKey(s.id, s.user), s.id, s.user, m}
}

// endWill publishes the will of a connection that has ended [MQTT-3.1.2-8], or deletes it after DISCONNECT
// [MQTT-3.1.2-10]. When the hub stops, the will stays in the store: it is published after the next start if the client
// does not connect again in time.
func (c *Core) endWill(s *Session, m *record.Message, disconnected bool) {
	switch {
	case m == nil || c.stopping:
	case disconnected:
		c.deleteWill(s.testament(m))
	default:
		c.publishWill(s.testament(m), true)
	}
}

// publishWill publishes a will, if its user may do so now. If recorded is set it is also the client's will in the
// store, which is removed with it.
func (c *Core) publishWill(w *testament, recorded bool) {
	if err := c.mayLeave(w); err != nil {
		c.stats.Forbidden++
		if l, ok := c.limitedOf(w.user, w.client, noWill); ok {
			l.WithError(err).Infof("will is not published")
		}
		if recorded {
			c.deleteWill(w)
		}
		return
	}
	x := c.publication(w.m, c.match(w.m.Topic, 0))
	x.owner = w
	if recorded {
		x.will = w.key
	}
	c.submit(x, true)
}

// mayLeave returns why a will may not be published. Whose it is nobody knows was checked at its CONNECT.
func (c *Core) mayLeave(w *testament) error {
	if err := c.o.Topic.CheckName(w.m.Topic); err != nil {
		return err
	}
	if w.user == "" {
		return nil
	}
	if u := c.users.User(w.user); u == nil || !u.As(w.client).MayPublish(w.m.Topic) {
		return fmt.Errorf("publish to %q: %w", w.m.Topic, errForbidden)
	}
	return nil
}

// deleteWill removes a will from the store.
func (c *Core) deleteWill(w *testament) {
	c.later(func(b *record.Batch) { b.DeleteWill(w.key) }, func(err error) {
		if err != nil { // after a restart it would be published
			c.timers.add(c.now.Add(oweAgain), func() {
				if c.ownsStored(w) {
					c.deleteWill(w)
				}
			})
		}
	})
}

// oweAgain is the time after which a will is published or deleted again that could not be.
const oweAgain = time.Second

// owe keeps a will that could not be stored, and tries again: one for each client and user, the newest.
func (c *Core) owe(w *testament) {
	if len(c.owed) == 0 {
		c.timers.add(c.now.Add(oweAgain), c.pay)
	}
	c.owed[w.key] = w
}

// pay publishes the wills that could not be stored.
func (c *Core) pay() {
	owed := c.owed
	c.owed = map[string]*testament{}
	for _, key := range slices.Sorted(maps.Keys(owed)) {
		c.publishWill(owed[key], c.ownsStored(owed[key]))
	}
}

// ownsStored tells whether a will in the store is that of an earlier connection.
func (c *Core) ownsStored(w *testament) bool {
	x, s := c.changing[w.client], c.sessions[w.client]
	return (x == nil || x.user != w.user) &&
		(s == nil || s.user != w.user || s.client == nil || s.client.will == nil)
}

// LoadWill adds the will of a client that was connected when the hub ended last time, after the sessions. New clients
// without id get higher keys than the old ones, so that they do not delete each other's wills.
func (c *Core) LoadWill(key string, m record.Message) {
	w := &testament{key: key, m: &m}
	w.client, w.user = record.SplitWillKey(key)
	if s := c.sessions[w.client]; s != nil && w.user == "" {
		w.user = s.user
	}
	c.wills[key] = w
	if number, ok := strings.CutPrefix(w.client, anonymous); ok {
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			c.anonymous = max(c.anonymous, n)
		}
	}
}

// Loaded ends the start: Options.WillDelay later the wills are published of clients that were connected when the hub
// ended last time and have not come back.
func (c *Core) Loaded() {
	c.begun = c.now
	c.sortAway()
	c.timers.add(c.now.Add(c.o.WillDelay), func() {
		wills := c.wills
		c.wills = nil
		for _, key := range slices.Sorted(maps.Keys(wills)) {
			c.publishWill(wills[key], true)
		}
	})
}

// comeBack takes the wills from before the restart that are void now, since the client of a session is back.
func (c *Core) comeBack(s *Session) (stale []*testament) {
	for _, key := range []string{record.WillKey(s.id, s.user), s.id} {
		if w := c.wills[key]; w != nil && (w.user == s.user || w.user == "") {
			delete(c.wills, key)
			stale = append(stale, w)
		}
	}
	return stale
}

// putBack undoes that a client has come back: its CONNECT could not be stored.
func (c *Core) putBack(stale []*testament) {
	for _, w := range stale {
		if c.wills != nil {
			c.wills[w.key] = w
		} else {
			c.publishWill(w, true)
		}
	}
}
