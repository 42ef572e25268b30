package core

import (
	"fmt"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// Recount adds up what all clients have, and returns an error if the accounts say something else. It is for tests: it
// looks at everything. While something is being stored it says nothing.
func (c *Core) Recount() error {
	if c.writing != nil || len(c.full) > 0 || len(c.batch.ops) > 0 || len(c.changing) > 0 {
		return nil
	}
	sums := map[*budget.Account]*budget.Values{c.hub: {}, c.guests.all: {}}
	for _, a := range c.accounts {
		sums[a] = &budget.Values{}
	}
	add := func(a *budget.Account, r budget.Resource, n int) { sums[a][r] += int64(n) }
	for cl := range c.clients {
		if cl.account == nil {
			continue
		}
		marked := cl.s != nil && len(cl.s.q.marks) > 0 // empty positions among them do not count
		if need := cl.held(0, 0) - budget.Allowance; need > cl.charged && !marked {
			return fmt.Errorf("client %q has %d bytes, and has paid for %d", cl.id, need, cl.charged)
		}
		account := cl.account
		if cl.user == nil {
			account = c.guests.all
		}
		add(account, budget.Memory, cl.charged)
		if cl.counted {
			add(cl.account, budget.Connections, 1)
		}
		if cl.will != nil {
			add(cl.will.payer, budget.Memory, int(cl.will.size()))
		}
	}
	for _, wills := range []map[string]*testament{c.wills, c.owed} {
		for _, w := range wills {
			add(w.payer, budget.Memory, int(w.size()))
		}
	}
	for _, s := range c.sessions {
		if err := c.recountSession(s, add); err != nil {
			return err
		}
	}
	for _, filter := range []string{"#", "$SYS/#"} { // others that begin with $ are not counted
		for w := c.retained.Walk(filter); ; {
			k, more := w.Next()
			if !more {
				break
			}
			if k != nil && k.owner != nil {
				add(k.owner, budget.Retained, 1)
				add(k.owner, budget.RetainedBytes, int(retainedSize(&k.Message)))
			}
		}
	}
	for a, sum := range sums {
		for r := range budget.Count {
			if a != c.hub {
				sums[c.hub][r] += sum[r]
			}
		}
	}
	for a, sum := range sums {
		for r := range budget.Count {
			if a.Used(r) != sum[r] {
				return fmt.Errorf("account %q has %d of %s, counted %d", a.Name(), a.Used(r), r, sum[r])
			}
		}
	}
	return nil
}

func (c *Core) recountSession(s *Session, add func(a *budget.Account, r budget.Resource, n int)) error {
	bytes := len(s.q.marks) * markSize
	for p := s.q.head; p < s.q.tail; p++ {
		bytes += s.q.at(p).size()
	}
	if bytes != s.q.bytes {
		return fmt.Errorf("the queue of %q has %d bytes, counted %d", s.id, s.q.bytes, bytes)
	}
	if s.disk < 0 || s.disk > 0 && s.waits() == 0 {
		return fmt.Errorf("session %q has %d bytes on the disk, and %d messages", s.id, s.disk, s.waits())
	}
	if s.number != 0 {
		add(s.account, budget.Sessions, 1)
	}
	add(s.account, budget.Subscriptions, int(s.weight()))
	add(s.account, budget.Memory, exchanged(len(s.inbound))+int(s.marked))
	add(s.account, budget.Disk, int(s.disk))
	return nil
}
