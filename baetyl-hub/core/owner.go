package core

import "slices"

// change is something of a client id that is being stored.
type change struct {
	user    string    // whose it is
	waiters []*Client // whose CONNECT waits for its end
}

// next lets the connections go on whose CONNECT waits for the end of a change of their session.
func (c *Core) next(id string) {
	x := c.changing[id]
	if x == nil {
		return
	}
	delete(c.changing, id)
	for _, cl := range x.waiters {
		if p := cl.retry; p != nil {
			cl.retry = nil
			c.take(cl, p)
		}
	}
}

// Holder returns the handle of the connection that has the session of a client; nil: there is none.
func (c *Core) Holder(id string) Handle {
	if s := c.sessions[id]; s != nil && s.client != nil {
		return s.client.Handle
	}
	return nil
}

// stopWaiting ends the wait of a connection whose CONNECT waits: the hub keeps nothing of it.
func (c *Core) stopWaiting(cl *Client) {
	if cl.retry == nil {
		return
	}
	if x := c.changing[cl.retry.ClientID]; x != nil {
		x.waiters = slices.DeleteFunc(x.waiters, func(w *Client) bool { return w == cl })
	}
	cl.retry, cl.blocked = nil, false
	cl.cancelWill()
}

// outdated returns why a login does not hold any more after a reload.
func (c *Core) outdated(cl *Client) error {
	if !cl.user.Equal(c.users.User(cl.user.Name)) {
		return errReloaded
	}
	return c.users.CheckClientID(cl.user, cl.id)
}

// owns tells whether the user of a connection may take a session. One that a store has without a user belongs to who
// takes it first.
func (cl *Client) owns(s *Session) bool { return s.user == "" || s.user == cl.user.Name }

// forfeited tells whether a session of another user gives way, unread, to a connection for whose user the configuration
// reserves its client id: its owner may not use that any more.
func (c *Core) forfeited(s *Session, cl *Client) bool {
	owner := c.users.User(s.user)
	if !cl.user.Reserves(s.id) || owner != nil && c.users.CheckClientID(owner, s.id) == nil {
		return false
	}
	c.entry(cl).Infof("the session of user %q ends: principals[].clientids reserve its "+
		"client id for others", s.user)
	return true
}

// cannotFill says once of each user that permits with %c give no right to a client id.
func (c *Core) cannotFill(cl *Client) {
	if name := cl.user.Name; cl.user.As(cl.id).Lacks() && !c.lacking[name] {
		if c.lacking == nil {
			c.lacking = map[string]bool{}
		}
		c.lacking[name] = true
		c.entry(cl).Warnf("permits with %%c give no right to this client, and to others of the " +
			"user: a client id that is empty, has /, + or #, or begins with $, can't be a level of a topic")
	}
}
