package core

import (
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// quiet is how long nothing more is said of a resource of which an account has not enough.
const quiet = time.Minute

// account returns the account of a principal, of whom there need not be one any more. What has no owner is the hub's.
func (c *Core) account(name string) *budget.Account {
	if name == "" {
		return c.hub
	}
	a := c.accounts[name]
	if a == nil {
		a = budget.New(name, c.hub, c.users.Limits(name, c.o.Principal))
		c.accounts[name] = a
	}
	return a
}

// setLimits gives all accounts the limits of the users. Those of users that are gone stay, with the default.
func (c *Core) setLimits() {
	for name, a := range c.accounts {
		a.SetLimits(c.users.Limits(name, c.o.Principal))
	}
	for _, u := range c.users.All() {
		c.account(u.Name)
	}
}

// RetainedBytes is how many bytes the retained messages have, with those that are being stored.
func (c *Core) RetainedBytes() int64 { return c.hub.Used(budget.RetainedBytes) }

// Usage is what an account has of a resource.
type Usage struct {
	Principal string // "": the hub
	Resource  budget.Resource
	Used      int64
	Limit     int64  // 0: none
	Refused   uint64 // since the start
}

// Usage returns what the accounts have: the hub's, and those of principals that are configured or have something.
func (c *Core) Usage() []Usage {
	list := usageOf(nil, c.hub)
	for name, a := range c.accounts {
		if c.users.User(name) != nil || !a.Empty() {
			list = usageOf(list, a)
		}
	}
	return list
}

func usageOf(list []Usage, a *budget.Account) []Usage {
	for r := range budget.Count {
		list = append(list, Usage{a.Name(), r, a.Used(r), a.Limit(r), a.Refused(r)})
	}
	return list
}

// client stands for the limits of one client, where no account refuses something.
var ofClient = budget.New("", nil, budget.Values{})

// refused counts n things that own, the account of a client, did not get, and says so once in a while. by is who has
// not enough: own, the hub, or ofClient.
func (c *Core) refused(own, by *budget.Account, r budget.Resource, n int, client, what string) {
	say := own.Refuse(r, uint64(n), c.now, quiet)
	if by == c.hub && own != by {
		by.Refuse(r, uint64(n), c.now, quiet)
	}
	if !say {
		return
	}
	limit, who, key := by.Limit(r), "the hub", "limits."+r.Key()
	switch {
	case by == ofClient:
		limit, who, key = c.o.Client[r], "the client", "limits.client."+r.Key()
	case by != c.hub:
		who, key = "the user", fmt.Sprintf("principals[].limits.%s of the user or limits.principal.%[1]s", r.Key())
	}
	switch r {
	case budget.Memory:
		key += ", or limits.memory"
	case budget.Disk:
		key += ", or storage.max"
	}
	c.entryOf(own.Name(), client).WithField("resource", r.String()).
		WithField("limit", limit).
		Infof("%s has no more of %s: %s; raise %s, or let the client take less", who, r, what, key)
}

// weight is as how many subscriptions a filter counts: one for each KiB. The usual ones have less; the name of a shared
// group may have as many as a packet.
func weight(filter string) int64 { return 1 + int64(len(filter)>>10) }

// weight is the sum of those of its filters.
func (s *Session) weight() (n int64) {
	for f := range s.subs {
		n += weight(f)
	}
	return n
}

// takeSubscription takes one more subscription of a session.
func (c *Core) takeSubscription(s *Session, filter string) error {
	by := s.account.Take(budget.Subscriptions, weight(filter))
	if by == nil {
		return nil
	}
	c.refused(s.account, by, budget.Subscriptions, 1, s.id, "a subscription is refused")
	return fmt.Errorf("%w of subscriptions", errBudget)
}

// drop removes a subscription from what a session has.
func (c *Core) drop(s *Session, filter string) {
	if _, has := s.subs[filter]; has {
		delete(s.subs, filter)
		s.account.Give(budget.Subscriptions, weight(filter))
	}
}

// restore takes back what drop gave, after an error.
func (c *Core) restore(s *Session, filter string) {
	if _, has := s.subs[filter]; !has {
		s.account.Load(budget.Subscriptions, weight(filter))
	}
}

// assign makes a session that of a user, with all that it has.
func (c *Core) assign(s *Session, user string) {
	c.own(s, -1)
	s.user, s.account = user, c.account(user)
	c.own(s, 1)
}

// own takes or gives back, by sign, all that a session has, whatever the limits are.
func (c *Core) own(s *Session, sign int64) {
	a := s.account
	if s.number != 0 {
		a.Load(budget.Sessions, sign)
	}
	a.Load(budget.Subscriptions, sign*s.weight())
	a.Load(budget.Disk, sign*s.disk)
	a.Load(budget.Memory, sign*int64(exchanged(len(s.inbound))+int(s.marked)))
}

// admitSession takes what a connection, and a session that it makes, need of the accounts. A connection takes over what
// that of another one has, unless what that has sent is being stored.
func (c *Core) admitSession(cl *Client, p *packet.Connect, old *Session) error {
	own := old != nil && (old.account == cl.account || old.account == c.hub)
	moves := own && old.client != nil && !old.client.unsettled()
	keeps := !p.CleanSession && p.ClientID != "" && (!own || old.number == 0)
	r, by := budget.Sessions, (*budget.Account)(nil)
	if keeps {
		by = cl.account.Take(r, 1)
	}
	if by == nil && !moves {
		if by = cl.account.Take(budget.Connections, 1); by != nil {
			if r = budget.Connections; keeps {
				cl.account.Give(budget.Sessions, 1)
			}
		}
	} else if by == nil {
		c.leave(old.client)
		cl.account.Load(budget.Connections, 1)
	}
	if by != nil {
		c.refused(cl.account, by, r, 1, cl.id, "a login is refused")
		return fmt.Errorf("%w of %s (limits)", errBudget, r.Key())
	}
	cl.counted = true
	return nil
}

// leave gives back what a connection has of Connections.
func (c *Core) leave(cl *Client) {
	if cl.counted {
		cl.counted = false
		cl.account.Give(budget.Connections, 1)
	}
}
