package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// limited is a rig with limits of each principal, and of each client for what it has in memory and on the disk.
func limited(t *testing.T, principal, client budget.Values, change ...func(*core.Options)) *rig {
	return newRig(t, append(change, func(o *core.Options) {
		o.Principal, o.Client = principal, client
	})...)
}

// used is what the principal u has.
func (r *rig) used(x budget.Resource) (n int64) { return r.usage("u", x).Used }

func (r *rig) usage(name string, x budget.Resource) core.Usage {
	r.t.Helper()
	for _, u := range r.Usage() {
		if u.Principal == name && u.Resource == x {
			return u
		}
	}
	require.Fail(r.t, "no account of "+name)
	return core.Usage{}
}

// of is the CONNECT of another user.
func of(name string, x *packet.Connect) *packet.Connect {
	x.Username = name
	return x
}

var kilobyte = strings.Repeat("x", 1000)

// A principal has so many connections, kept sessions and subscriptions; another one is not concerned.
func TestCounts(t *testing.T) {
	r := limited(t, budget.Values{budget.Connections: 4, budget.Sessions: 3, budget.Subscriptions: 5}, budget.Values{})
	for i := range 3 {
		r.subscribed(kept(fmt.Sprint("k", i)), 1, "a")
	}
	require.Equal(t, "connack 3", r.start(kept("more")).next())
	p := r.subscribed(connect("clean"), 0, "b")
	require.Equal(t, "connack 3", r.start(connect("more")).next())
	p.send(sub(2, 1, "b", "c", "d", "d"))
	p.is("suback 2 [1 1 128 128]")
	r.subscribed(of("v", kept("other")), 1, "a", "b", "c", "d", "e")

	// What a new connection takes over does not count twice.
	for range 3 {
		p = r.connect(connect("clean"))
	}
	r.connect(kept("k0")).cut()
	p.send(sub(2, 1, "b", "c", "d", "d"))
	p.is("suback 2 [1 1 128 128]")
	p.send(&packet.Unsubscribe{ID: 3, Topics: []string{"b", "nothing", "b"}}, sub(4, 1, "d"))
	p.is("unsuback 3", "suback 4 [1]")

	// Clean sessions make room, also for other clients.
	r.connect(connect("k1")).cut()
	require.EqualValues(t, 2, r.used(budget.Sessions))
	require.EqualValues(t, 2+2, r.used(budget.Subscriptions))
	r.connect(kept("more"))
	require.EqualValues(t, 3, r.usage("u", budget.Subscriptions).Refused+r.usage("u", budget.Sessions).Refused-2)

	// After a restart with lower limits all that is there stays.
	r.o.Principal, r.lowered = budget.Values{budget.Sessions: 1}, true
	r.restart()
	require.EqualValues(t, 3, r.used(budget.Sessions))
	r.connect(kept("k0"))
	require.Equal(t, "connack 3", r.start(kept("new")).next())
}

// A subscription or session that could not be stored does not count, and one that could not be removed does.
func TestCountsOfWhatIsNotStored(t *testing.T) {
	r := limited(t, budget.Values{budget.Sessions: 2, budget.Subscriptions: 2}, budget.Values{})
	r.failing(func() { r.start(kept("a")) })
	p := r.subscribed(kept("a"), 1, "x")
	r.failing(func() { p.send(sub(2, 1, "y", "y", "z", "x")) })
	require.EqualValues(t, 1, r.used(budget.Subscriptions))
	p = r.connect(kept("a"))
	r.failing(func() { p.send(&packet.Unsubscribe{ID: 3, Topics: []string{"x", "x"}}) })
	require.EqualValues(t, 1, r.used(budget.Subscriptions))
	r.failing(func() { r.start(connect("a")) })
	require.EqualValues(t, 1, r.used(budget.Sessions))
	r.connect(connect("a"))
	require.Zero(t, r.used(budget.Sessions))
	require.Zero(t, r.used(budget.Subscriptions))
}

// The limits of a principal of its own hold from a reload on. The filter of a session that its user may not have any
// more counts until it is removed.
func TestLimitsOfPrincipal(t *testing.T) {
	r := limited(t, budget.Values{budget.Sessions: 1, budget.Subscriptions: 2}, budget.Values{})
	r.subscribed(kept("a"), 1, "x", "y").cut()
	require.Equal(t, "connack 3", r.start(kept("b")).next())
	u := permit("u", all, []string{"x"})
	u.Limits.Sessions = 2
	r.users = book(t, u, permit("v", all, all))
	r.SetUsers(r.users)
	require.EqualValues(t, 2, r.used(budget.Subscriptions))
	r.connect(kept("a"))
	require.EqualValues(t, 1, r.used(budget.Subscriptions))
	r.connect(kept("b"))
	require.Equal(t, "connack 3", r.start(kept("c")).next())
}

// Retained messages over a limit are delivered and not retained; the earlier one of the topic stays.
func TestRetainedLimits(t *testing.T) {
	r := limited(t, budget.Values{budget.Retained: 3, budget.RetainedBytes: 5000}, budget.Values{})
	s := r.subscribed(connect("s"), 0, "#")
	p := r.connect(connect("p"))
	for i := range 5 {
		p.send(retained(packet.ID(i+1), packet.QOS(i%3), fmt.Sprint("t", i), "x"))
	}
	require.Len(t, s.got(), 5)
	require.Equal(t, 3, r.Stats().Retained)
	p.send(retained(7, 1, "t0", "newer"), retained(8, 1, "t0", strings.Repeat("x", 6000)), retained(9, 1, "t5", "x"))
	require.Len(t, s.got(), 3)
	late := r.connect(of("v", connect("late")))
	late.send(sub(1, 0, "t0"))
	late.is("suback 1 [0]", "t0=newer retained")

	// Another user does not free what it replaces for itself only, and an empty message makes room.
	v := r.connect(of("v", connect("v")))
	v.send(retained(1, 1, "t0", "of v"))
	require.EqualValues(t, 2, r.used(budget.Retained))
	require.EqualValues(t, 1, r.usage("v", budget.Retained).Used)
	p.send(retained(10, 1, "t5", "x"), retained(11, 1, "t1", ""))
	p.send(retained(12, 1, "t6", "x"))
	require.EqualValues(t, 3, r.used(budget.Retained))
	require.Equal(t, 4, r.Stats().Retained)
	r.restart()
	require.EqualValues(t, 3, r.used(budget.Retained))
	require.EqualValues(t, 1, r.usage("v", budget.Retained).Used)
	require.EqualValues(t, 4, r.usage("", budget.Retained).Used)
}

// Retained messages of a store of an earlier version have no owner: they are the hub's.
func TestRetainedWithoutOwner(t *testing.T) {
	r := limited(t, budget.Values{budget.Retained: 1}, budget.Values{})
	r.connect(connect("p")).send(retained(1, 1, "t", "x"))
	m := r.disk.retained["t"]
	require.Equal(t, "u", m.Owner)
	m.Owner = ""
	r.disk.retained["t"] = m
	r.restart()
	require.Zero(t, r.used(budget.Retained))
	require.EqualValues(t, 1, r.usage("", budget.Retained).Used)
	r.connect(connect("p")).send(retained(1, 1, "t", "y"))
	require.EqualValues(t, 1, r.used(budget.Retained))
}

// Several retained messages of a topic that are being stored at once fit, or are not retained.
func TestRetainedAtOnce(t *testing.T) {
	for _, limit := range []int64{2500, 4500, 9000} {
		for _, fail := range []bool{false, true} {
			r := limited(t, budget.Values{budget.RetainedBytes: limit}, budget.Values{})
			p := r.connect(connect("p"))
			p.send(retained(1, 1, "t", kilobyte+kilobyte))
			r.hold()
			for i, n := range []int{1500, 0, 2400, 1000, 2400} {
				p.send(retained(packet.ID(i+2), 1, "t", strings.Repeat("x", n)))
				require.LessOrEqual(t, r.used(budget.RetainedBytes), limit)
			}
			if fail {
				r.fail = errDisk
			}
			r.release()
			require.LessOrEqual(t, r.used(budget.RetainedBytes), limit)
		}
	}
}

// The hub's limits hold for all principals together.
func TestLimitsOfHub(t *testing.T) {
	r := newRig(t, func(o *core.Options) {
		o.Hub = budget.Values{budget.Sessions: 3, budget.Memory: 400 << 10, budget.Retained: 2, budget.Disk: 50 << 10}
	})
	for i, u := range []string{"u", "v", "u", "v", "u"} {
		p := r.start(of(u, kept(fmt.Sprint("s", i))))
		require.Equal(t, i < 3, p.next() == "connack 0")
	}
	for i := range 20 {
		s := r.connect(of([]string{"u", "v"}[i%2], connect(fmt.Sprint("t", i))))
		s.send(sub(1, packet.QOS(i%3), "t"))
		s.slow = true
	}
	p := r.connect(connect("p"))
	for i := range 100 {
		p.send(retained(packet.ID(i+1), packet.QOS(i%3), "t", strings.Repeat("x", 9000)), pubrel(packet.ID(i+1)))
		require.LessOrEqual(t, r.usage("", budget.Memory).Used, int64(400<<10))
		r.pass(time.Second)
	}
	require.Equal(t, r.usage("u", budget.Memory).Used+r.usage("v", budget.Memory).Used, r.usage("", budget.Memory).Used)
	require.Positive(t, r.usage("", budget.Memory).Refused)
}

// A user that is taken out of the configuration keeps what it has, and its account.
func TestAccountOfRemovedUser(t *testing.T) {
	r := limited(t, budget.Values{budget.Sessions: 2}, budget.Values{})
	r.subscribed(kept("a"), 1, "t").cut()
	with := r.users
	r.users = book(t, permit("v", all, all))
	r.SetUsers(r.users)
	require.EqualValues(t, 1, r.used(budget.Sessions))
	r.users = with
	r.SetUsers(r.users)
	r.connect(connect("a"))
	require.Zero(t, r.used(budget.Sessions))
}

// Filters with the name of a long group, or topics that the configuration lets be long, count by their length.
func TestLongFiltersCountByTheirLength(t *testing.T) {
	r := limited(t, budget.Values{budget.Subscriptions: 100}, budget.Values{})
	s := r.connect(kept("s"))
	for i := range 5 {
		s.send(sub(1, 1, fmt.Sprintf("$share/%d%s/t", i, strings.Repeat("g", 29<<10))))
		want := "suback 1 [1]"
		if i >= 3 {
			want = "suback 1 [128]"
		}
		require.Equal(t, want, s.next(), i)
	}
	require.EqualValues(t, 3*30, r.used(budget.Subscriptions))
	s.cut()
	r.restart()
	require.EqualValues(t, 3*30, r.used(budget.Subscriptions))
	s = r.connect(connect("s"))
	require.Zero(t, r.used(budget.Subscriptions))
	s.send(sub(1, 1, "short"))
	require.Equal(t, "suback 1 [1]", s.next())
	require.EqualValues(t, 1, r.used(budget.Subscriptions))
}
