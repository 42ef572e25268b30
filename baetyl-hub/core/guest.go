package core

import (
	"net/netip"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/utils/addr"
)

// guests are the connections before their login is over. What they need in memory besides budget.Allowance is taken
// from the account of their address, and from that of all of them, which is a part of the hub's.
//
//	hub ◄── guests ◄── address    half of what guests may have; one of this machine has what all may have: a proxy or
//	                              tunnel brings the clients of many
type guests struct {
	all *budget.Account
	by  map[netip.Addr]*budget.Account // of those that have something
}

// newGuests gives guests a quarter of the hub's limit, or what the largest CONNECT of one address needs at least.
func newGuests(hub *budget.Account, packetMax int) guests {
	limits := budget.Values{}
	if n := hub.Limit(budget.Memory); n > 0 {
		limits[budget.Memory] = max(n/4, 3*int64(connectSize(packetMax)))
	}
	return guests{budget.New("", hub, limits), map[netip.Addr]*budget.Account{}}
}

// connectSize is the bytes of memory that a CONNECT of n bytes needs: the buffer that it comes in, and what is decoded.
func connectSize(n int) int { return buffered(n) + n }

// Expect takes the memory that a connection needs for a CONNECT of n bytes, until its login is over. Not ok: there is
// not enough, so close it.
func (c *Core) Expect(cl *Client, n int) (ok bool) {
	size := connectSize(n)
	if cl.account == nil {
		cl.account = c.guests.of(addr.Peer(cl.Handle.RemoteAddr()))
	}
	ok = c.afford(cl, 0, size-int(cl.partial), leaveMoving) == nil
	if ok {
		cl.partial = int32(size)
		c.repay(cl)
	} else {
		c.stats.Crowded++
	}
	return ok
}

// of returns the account of an address.
func (g *guests) of(from netip.Addr) *budget.Account {
	if from.IsLoopback() {
		return g.all
	}
	a := g.by[from]
	if a == nil {
		a = budget.New("", g.all, budget.Values{budget.Memory: g.all.Limit(budget.Memory) / 2})
		g.by[from] = a
	}
	return a
}

// leaveGuests gives back what a connection has as a guest.
func (c *Core) leaveGuests(cl *Client) {
	if cl.user != nil || cl.account == nil {
		return
	}
	cl.partial = 0
	c.repay(cl)
	if from := addr.Peer(cl.Handle.RemoteAddr()); cl.account.Empty() {
		delete(c.guests.by, from)
	}
	cl.account = nil
}
