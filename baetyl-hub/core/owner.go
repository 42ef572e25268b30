package core

// change is something of a client id that is being stored.
type change struct {
	user    string    // whose it is
	waiters []*Client // whose CONNECT waits for its end
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
