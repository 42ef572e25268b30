package core_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

func unsub(id packet.ID, filters ...string) *packet.Unsubscribe {
	return &packet.Unsubscribe{ID: id, Topics: filters}
}

// sessions are a transient and a durable one: most things must be the same for both.
var sessions = map[string]func(string) *packet.Connect{"transient": connect, "durable": kept}

// A session gets one copy of a message, with the highest QoS of its filters that match.
func TestEachSessionOnceAtItsBest(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s, p := r.connect(x("s")), r.connect(connect("p"))
			s.send(sub(1, 0, "a/b", "a/#"), sub(2, 2, "+/b"), sub(3, 1, "none"))
			s.is("suback 1 [0 0]", "suback 2 [2]", "suback 3 [1]")
			p.send(pub(1, 2, "a/b", "m"), pub(0, 0, "a/b", "n"), pub(2, 1, "a/c", "o"))
			p.is("pubrec 1", "puback 2")
			s.is("a/b=m q2 #1", "a/b=n", "a/c=o")
			require.Equal(t, 4, r.Stats().Subscriptions)
			s.send(unsub(4, "a/b", "a/#", "+/b", "never", "none"))
			s.is("unsuback 4")
			require.Zero(t, r.Stats().Subscriptions)
			p.send(pub(3, 1, "a/b", "p"))
			s.is()
		})
	}
}

// Each filter is granted or refused by itself.
func TestSubscribeCodes(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.SubscriptionsMax = 3 })
	r.users = book(t, permit("u", all, []string{"a/#", "b"}))
	r.SetUsers(r.users)
	s := r.connect(kept("s"))
	s.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{
		{Topic: "a/b", QOS: 1}, {Topic: "a/#/c"}, {Topic: "c"}, {Topic: "#"}, {Topic: "$share/g/a/+", QOS: 2}, {Topic: "$share/g"},
		{Topic: "b"}, {Topic: "a/c"}, {Topic: "a/b", QOS: 2},
	}})
	s.is("suback 1 [1 128 128 128 2 128 0 128 2]")
	require.Equal(t, 3, r.Stats().Subscriptions)
	require.EqualValues(t, 5, r.Stats().Forbidden)
	require.Equal(t, map[string]packet.QOS{"a/b": 2, "$share/g/a/+": 2, "b": 0}, r.disk.sessions[1].Filters)
}

// Subscriptions of a durable session outlive the connection and the hub.
func TestSubscriptionsAreKept(t *testing.T) {
	r := newRig(t)
	s := r.subscribed(kept("s"), 1, "a", "b", "$share/g/c")
	s.send(unsub(2, "b"))
	s.is("unsuback 2")
	r.restart()
	require.Equal(t, 2, r.Stats().Subscriptions)
	p := r.connect(connect("p"))
	p.send(pub(1, 1, "a", "m"), pub(2, 1, "b", "m"), pub(3, 1, "c", "m"))
	r.start(kept("s")).is("connack 0 present", "a=m q1 #1", "c=m q1 #2")
}

// SUBACK and UNSUBACK follow when the change is stored, and nothing is handled meanwhile.
func TestChangeIsStoredBeforeItsAnswer(t *testing.T) {
	r := newRig(t)
	s := r.connect(kept("s"))
	r.hold()
	s.send(sub(1, 1, "a"), packet.NewPingreq())
	s.is()
	r.release()
	s.is("suback 1 [1]", "Pingresp")
	r.hold()
	s.send(unsub(2, "a"), packet.NewPingreq())
	s.is()
	r.release()
	s.is("unsuback 2", "Pingresp")
}

// No message overtakes SUBACK, and none is lost, whatever was being sent before.
func TestSubackComesFirst(t *testing.T) {
	for name, x := range sessions {
		for _, slow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				s, p := r.connect(x("s")), r.connect(connect("p"))
				s.slow = slow
				s.send(packet.NewPingreq(), packet.NewPingreq())
				r.hold()
				p.send(retained(1, 1, "fence", "x"))
				s.send(sub(1, 1, "t"))
				p.send(pub(0, 0, "t", "1"), pub(0, 0, "t", "2"))
				r.release()
				s.read()
				s.is("Pingresp", "Pingresp", "suback 1 [1]", "t=1", "t=2")
			})
		}
	}
}

// If a change can't be stored, the connection is closed, and memory is as the disk is.
func TestChangeNotStored(t *testing.T) {
	for name, c := range map[string]struct {
		before []packet.Generic
		x      packet.Generic
		want   map[string]int // QoS by topic
	}{
		"new":               {nil, sub(1, 1, "a"), map[string]int{"a": -1}},
		"new, twice":        {nil, sub(1, 1, "a", "a"), map[string]int{"a": -1}},
		"new, shared":       {nil, sub(1, 1, "$share/g/a"), map[string]int{"a": -1}},
		"changed":           {[]packet.Generic{sub(1, 1, "a")}, sub(2, 2, "a", "b", "a"), map[string]int{"a": 1, "b": -1}},
		"unsubscribe":       {[]packet.Generic{sub(1, 1, "a")}, unsub(2, "a", "b"), map[string]int{"a": 1, "b": -1}},
		"unsubscribe twice": {[]packet.Generic{sub(1, 1, "a")}, unsub(2, "a", "a"), map[string]int{"a": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.connect(kept("s"))
			for _, x := range c.before {
				s.send(x)
			}
			s.got()
			r.failing(func() { s.send(c.x) })
			s.isClosed()
			check := func() {
				t.Helper()
				p := r.connect(connect("p"))
				s := r.connect(kept("s"))
				for name, qos := range c.want {
					p.send(pub(1, 2, name, "m"), pubrel(1))
					if qos < 0 {
						s.is()
					} else {
						require.Contains(t, s.next(), fmt.Sprintf("%s=m q%d", name, qos))
						s.is()
					}
				}
				s.cut()
			}
			check()
			// What is repeated now is stored.
			s = r.connect(kept("s"))
			for len(s.got()) > 0 {
				s.send(puback(1), puback(2), puback(3))
			}
			s.send(c.x)
			s.cut()
			filters := map[string]packet.QOS{}
			for f, qos := range r.disk.sessions[1].Filters {
				filters[f] = qos
			}
			n := r.Stats().Subscriptions
			r.restart()
			require.Equal(t, n, r.Stats().Subscriptions, "%v", filters)
		})
	}
}

// Another connection takes the session over while its SUBSCRIBE is being stored, which fails then, and subscribes too.
func TestTakeoverWhileSubscribing(t *testing.T) {
	for _, x := range []packet.Generic{sub(2, 1, "a"), unsub(2, "a")} {
		for _, fails := range []bool{false, true} {
			r := newRig(t)
			s := r.connect(kept("s"))
			if x.Type() == packet.UNSUBSCRIBE {
				s.send(sub(1, 1, "a"))
			}
			r.hold()
			s.send(x)
			q := r.start(kept("s"))
			q.send(sub(3, 1, "a"))
			if r.fail = nil; fails {
				r.fail = errDisk
			}
			r.stored()
			r.fail = nil
			r.release()
			q.is("connack 0 present", "suback 3 [1]")
			q.send(pub(1, 1, "a", "m"))
			q.is("puback 1", "a=m q1 #1")
			r.restart()
			require.Equal(t, 1, r.Stats().Subscriptions)
		}
	}
}

// The members of a group get messages one after the other, durable and transient sessions alike.
func TestGroupMembersAlternate(t *testing.T) {
	r := newRig(t)
	members := []*peer{
		r.subscribed(connect("a"), 1, "$share/g/a/+"), r.subscribed(kept("b"), 1, "$share/g/a/+"),
		r.subscribed(connect("c"), 0, "$share/g/a/+"),
	}
	other := r.subscribed(connect("d"), 1, "$share/h/a/b", "a/b")
	p := r.connect(connect("p"))
	for i := range 30 {
		p.send(pub(1, 1, "a/b", strconv.Itoa(i)))
		require.Len(t, other.got(), 2) // of its group, and its own
	}
	count := map[string]int{}
	for _, s := range members {
		got := s.got()
		require.Len(t, got, 10)
		for _, x := range got {
			count[x]++
		}
	}
	require.Len(t, count, 30)
	members[1].send(unsub(2, "$share/g/a/+"))
	members[1].is("unsuback 2")
	for i := range 10 {
		p.send(pub(0, 0, "a/b", strconv.Itoa(i)))
		require.Len(t, append(members[0].got(), members[2].got()...), 1)
		members[1].is()
	}
}

// A member whose SUBSCRIBE is being stored gets nothing that others of its group can get.
func TestGroupWhileMemberSubscribes(t *testing.T) {
	r := newRig(t)
	a, b, p := r.subscribed(connect("a"), 0, "$share/g/t"), r.connect(kept("b")), r.connect(connect("p"))
	r.hold()
	b.send(sub(1, 0, "$share/g/t"))
	for range 10 {
		p.send(pub(0, 0, "t", "m"))
	}
	require.Len(t, a.got(), 10)
	r.release()
	b.is("suback 1 [0]")
	p.send(pub(0, 0, "t", "m"), pub(0, 0, "t", "m"))
	a.is("t=m")
	b.is("t=m")
}

// A message goes to a member that can take it: for QoS 0 one that is connected and reads, for QoS 1 one whose queue has
// room. If there is none, one loses it, counted.
func TestGroupChoosesWhoCanTakeIt(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.QueueMax, o.EgressQOS0 = 2, 4 })
	const filter = "$share/g/t"
	away, low, p := r.subscribed(kept("away"), 1, filter), r.subscribed(kept("low"), 0, filter), r.connect(connect("p"))
	away.cut()
	for range 4 {
		p.send(pub(0, 0, "t", "m"))
		low.is("t=m")
	}
	low.cut()
	for i := range 4 { // to the one whose queue has room for two
		p.send(pub(packet.ID(i+1), 1, "t", "m"))
	}
	require.Len(t, r.waiting("away"), 2)
	require.EqualValues(t, 2, r.Stats().QueueFull)
	low = r.connect(kept("low"))
	p.send(pub(5, 1, "t", "m"), pub(6, 1, "t", "m"))
	low.is("t=m", "t=m")
	require.EqualValues(t, 2, r.Stats().QueueFull)

	// A socket that is full is passed over as well.
	slow := r.subscribed(connect("slow"), 0, filter)
	slow.slow = true
	for range 20 {
		p.send(pub(0, 0, "t", "m"))
	}
	require.Zero(t, r.Stats().Dropped)
	slow.read()
	require.Len(t, append(low.got(), slow.got()...), 20)
}

// Static routes to one target are merged, a copy is not retained, and a cycle that the configuration missed ends.
func TestStaticRoutes(t *testing.T) {
	r := newRig(t)
	r.SetRoutes([]core.StaticRoute{
		{Source: "a/#", Target: "t", TargetQOS: 1},
		{Source: "a/b", SourceQOS: 1, Target: "t", TargetQOS: 1},
		{Source: "t", SourceQOS: 1, Target: "u", TargetQOS: 0},
		{Source: "x", Target: "x"},
	})
	p, s := r.connect(connect("p")), r.subscribed(connect("s"), 2, "t", "u")
	m := retained(1, 2, "a/b", "m")
	p.send(m, pub(2, 2, "a/c", "n"), pub(0, 0, "a/d", "o"), pub(0, 0, "x", "round"))
	s.is("t=m q1 #1", "u=m", "t=n", "u=n", "t=o", "u=o")
	r.subscribed(connect("late"), 2, "t").is()
	require.Equal(t, 1, r.Stats().Retained)
	durable := r.subscribed(kept("d"), 2, "t")
	durable.cut()
	p.send(pub(3, 1, "a/b", "q"))
	r.restart()
	r.start(kept("d")).is("connack 0 present", "t=q q1 #1 dup")
}
