// Package budget says who may have how much of what, and who has how much.
//
//	hub ◄── principal a      What one account takes, those above it take too. It is taken from all of them,
//	    ◄── principal b      or from none.
//
// What one client may have at most is a number that all share: an account for each would cost memory.
//
// It has no lock, no clock and no log. Package core owns the accounts, under its one lock, and decides what happens to
// what has no room.
package budget

import "time"

// Resource is something that a client can make grow.
type Resource uint8

// The resources. Each has one unit.
const (
	Connections   Resource = iota // with a login that was right
	Sessions                      // that outlive their connection
	Subscriptions                 // of all sessions
	Retained                      // retained messages
	RetainedBytes                 // topics and payloads of them, in memory and on the disk
	Memory                        // bytes that wait in memory: see core
	Disk                          // bytes of messages that wait on the disk for sessions
	Count                         // how many resources there are
)

// Allowance is how many bytes in memory each connection has besides all accounts, so that small messages get through
// also where others of the same account have used up what it has.
const Allowance = 4 << 10

// names are those of the labels of metrics, and of the keys below limits.
var names = [Count]struct{ label, key string }{
	{"connections", "connections"},
	{"sessions", "sessions"},
	{"subscriptions", "subscriptions"},
	{"retained_messages", "retained.messages"},
	{"retained_bytes", "retained.bytes"},
	{"queued_memory_bytes", "queued.memory"},
	{"queued_disk_bytes", "queued.disk"},
}

// String returns the name of the resource in metrics.
func (r Resource) String() string { return names[r].label }

// Key returns the key of the resource below limits, limits.principal and principals[].limits of the configuration.
func (r Resource) Key() string { return names[r].key }

// Values has a number for each resource, in its unit.
type Values [Count]int64

// Account is what somebody has. Its methods are for one goroutine at a time.
type Account struct {
	name    string
	parent  *Account // nil: it is the hub's
	limits  Values   // 0: none
	used    Values
	refused [Count]uint64
	said    [Count]time.Time
}

// New returns an account without use. Limits of 0 are none. parent is nil for the hub's.
func New(name string, parent *Account, limits Values) *Account {
	return &Account{name: name, parent: parent, limits: limits}
}

// Name returns who it is: a principal's name; "": the hub.
func (a *Account) Name() string { return a.name }

// Hub tells whether it is the hub's own account.
func (a *Account) Hub() bool { return a.parent == nil }

// Limit returns how much there may be of a resource; 0: any number.
func (a *Account) Limit(r Resource) int64 { return a.limits[r] }

// SetLimits replaces the limits. What is above them stays, and nothing more is taken.
func (a *Account) SetLimits(limits Values) { a.limits = limits }

// Used returns how much there is of a resource.
func (a *Account) Used(r Resource) int64 { return a.used[r] }

// Empty tells whether it has nothing of any resource.
func (a *Account) Empty() bool { return a.used == Values{} }

// Refused returns how often something was refused for want of a resource: see Refuse.
func (a *Account) Refused(r Resource) uint64 { return a.refused[r] }

// Take takes n of a resource, from this account and all above it, or nothing. It returns nil, or the first account that
// has not enough.
func (a *Account) Take(r Resource, n int64) *Account { return a.TakeLeaving(r, n, 0) }

// TakeLeaving is Take, but leaves some eighths of each limit to others: what can wait must not keep out what cannot.
func (a *Account) TakeLeaving(r Resource, n, eighths int64) *Account {
	for x := a; x != nil; x = x.parent {
		if limit := x.limits[r]; n > 0 && limit > 0 && x.used[r] > limit-limit/8*eighths-n {
			return x
		}
	}
	a.Load(r, n)
	return nil
}

// Load takes n of a resource whatever the limits are: what was there before they were. Then there may be more than they
// allow.
func (a *Account) Load(r Resource, n int64) {
	for x := a; x != nil; x = x.parent {
		x.used[r] += n
	}
}

// Give returns n of a resource that was taken.
func (a *Account) Give(r Resource, n int64) {
	for x := a; x != nil; x = x.parent {
		if x.used[r] -= n; x.used[r] < 0 {
			panic("budget: " + x.name + " gives back more " + r.String() + " than it has")
		}
	}
}

// Refuse counts something that was refused. It tells whether that should be said: once in each interval.
func (a *Account) Refuse(r Resource, n uint64, now time.Time, interval time.Duration) (say bool) {
	a.refused[r] += n
	if !a.said[r].IsZero() && now.Sub(a.said[r]) < interval {
		return false
	}
	a.said[r] = now
	return true
}
