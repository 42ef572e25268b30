package core

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// testament is a will with whose it is. The same client id may have one of each user: nobody voids that of another one.
type testament struct {
	key    string // in the store
	client string
	user   string // "": nobody knows, since an older hub has stored it
	m      *record.Message
	payer  *budget.Account // has its size, until it is stored as published, or deleted; nil: nobody has it any more
}

// testamentSize is the bytes of a will besides those of its message.
const testamentSize = 512

// size is about the bytes of memory that a will needs: its message, and the copy of it that is being stored.
func (w *testament) size() int64 { return int64(2*sizeOf(w.m) + testamentSize) }

// leaves takes the will of a CONNECT. It belongs to the account of its user for as long as the hub has it, whatever
// becomes of the connection, and has no part in the Allowance of that: else a client could leave one after the other.
func (c *Core) leaves(cl *Client, p *packet.Message) *budget.Account {
	w := &testament{user: cl.user.Name, payer: cl.account}
	w.m = &record.Message{Topic: p.Topic, Payload: p.Payload, QOS: p.QOS, Retain: p.Retain}
	if p.Retain {
		w.m.Owner = w.user
	}
	by := w.payer.TakeLeaving(budget.Memory, w.size(), leaveMoving)
	if by == nil {
		cl.will = w
	}
	return by
}

// settle gives back what a will has of its user's account; w may be nil.
func (w *testament) settle() {
	if w != nil && w.payer != nil {
		w.payer.Give(budget.Memory, w.size())
		w.payer = nil
	}
}

// cancelWill forgets the will of a connection that is refused.
func (cl *Client) cancelWill() {
	cl.will.settle()
	cl.will = nil
}

// endWill publishes the will of a connection that has ended [MQTT-3.1.2-8], or deletes it after DISCONNECT
// [MQTT-3.1.2-10]. When the hub stops, the will stays in the store: it is published after the next start if the client
// does not connect again in time.
func (c *Core) endWill(cl *Client, disconnected bool) {
	w := cl.will
	cl.will = nil
	switch {
	case w == nil:
	case c.stopping:
		w.settle()
	case disconnected:
		c.deleteWill(w)
	default:
		c.publishWill(w, true)
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
		} else {
			w.settle()
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

// deleteWill removes a will from the store. Of the will itself nothing is needed any more.
func (c *Core) deleteWill(w *testament) {
	w.settle()
	w.m = nil
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

const (
	// oweAgain is the time after which a will is published or deleted again that could not be.
	oweAgain = time.Second
	// owePortion is how many are published again at a time.
	owePortion = 512
)

// owe keeps a will that could not be stored, and tries again: one for each client and user, the newest. Its user's
// account bounds how many there are: see leaves.
func (c *Core) owe(w *testament) {
	if len(c.owed) == 0 {
		c.timers.add(c.now.Add(oweAgain), c.pay)
	}
	old, has := c.owed[w.key]
	if old.settle(); !has {
		c.owing = append(c.owing, w.key)
	}
	c.owed[w.key] = w
}

// pay publishes wills that could not be stored, those first that wait for longest.
func (c *Core) pay() {
	n := min(len(c.owing), owePortion)
	for _, key := range c.owing[:n] {
		w := c.owed[key]
		delete(c.owed, key)
		c.publishWill(w, c.ownsStored(w))
	}
	if c.owing = slices.Clone(c.owing[n:]); len(c.owing) > 0 {
		c.timers.add(c.now.Add(oweAgain), c.pay)
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
	w.payer = c.account(w.user)
	w.payer.Load(budget.Memory, w.size())
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
