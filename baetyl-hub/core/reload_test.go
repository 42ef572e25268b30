package core_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
)

// reload replaces what the user u may subscribe to.
func (r *rig) reload(sub ...string) {
	r.t.Helper()
	r.SetUsers(r.may(sub...))
	r.run()
}

func (r *rig) may(sub ...string) *auth.Book {
	r.users = book(r.t, permit("u", all, sub), permit("v", all, all))
	return r.users
}

// user makes a CONNECT of another user.
func user(name string, x *packet.Connect) *packet.Connect {
	x.Username = name
	return x
}

// A reload closes connections of users that are changed or removed, and no others.
func TestReloadCloses(t *testing.T) {
	r := newRig(t)
	u, v, early := r.connect(kept("a")), r.connect(user("v", kept("b"))), r.dial()
	r.reload("#", "$SYS/#")
	require.False(t, u.closed || v.closed || early.closed)
	r.reload("a")
	u.isClosed()
	require.False(t, v.closed || early.closed)
	r.users = book(t, permit("u", all, all))
	r.SetUsers(r.users)
	r.run()
	v.isClosed()
	// A login that was checked before is compared again.
	r.Connect(early.c, user("u", connect("c")), book(t, permit("u", all, []string{"a"})).User("u"))
	r.run()
	early.isClosed("connack 3")
}

// Subscriptions that the user may no longer have are inactive at once, others stay; also after a restart, and also if
// the hub is started with the new permissions. When the client comes back the forbidden ones are gone for good.
func TestForbiddenSubscriptions(t *testing.T) {
	for _, restart := range []string{"no", "before", "after"} {
		t.Run(restart, func(t *testing.T) {
			r := newRig(t)
			r.subscribed(kept("s"), 1, "a", "b/#", "$share/g/b/c", "$share/g/a/c")
			switch restart {
			case "before":
				r.may("a/#")
				r.restart()
			case "after":
				r.reload("a/#")
				r.restart()
			default:
				r.reload("a/#")
			}
			require.Equal(t, 2, r.Stats().Subscriptions)
			p := r.connect(user("v", connect("p")))
			p.send(pub(1, 1, "a", "m"), pub(2, 1, "b/c", "m"), pub(3, 1, "a/c", "m"))
			require.Len(t, r.waiting("s"), 2)
			r.connect(kept("s")).cut()
			require.Len(t, r.disk.sessions[1].Filters, 2)
			r.reload("#")
			require.Equal(t, 2, r.Stats().Subscriptions)
		})
	}
}

// If the user may have a subscription again before the client comes back, it becomes active then.
func TestSubscriptionsArePermittedAgain(t *testing.T) {
	for _, fails := range []bool{false, true} {
		r := newRig(t)
		r.subscribed(kept("s"), 1, "a", "b").cut()
		r.reload("a")
		if fails { // the client comes while "b" is forbidden, but that can't be stored
			r.failing(func() { r.start(kept("s")).isClosed("connack 3") })
		}
		r.reload("#")
		require.Equal(t, 1, r.Stats().Subscriptions)
		s := r.connect(kept("s"))
		s.send(pub(1, 1, "b", "m"))
		s.is("puback 1", "b=m q1 #1")
		require.Equal(t, 2, r.Stats().Subscriptions)
	}
}

// A reload comes while CONNECT or SUBSCRIBE is being stored, or while CONNECT waits for another one.
func TestReloadMeanwhile(t *testing.T) {
	for name, f := range map[string]func(r *rig){
		"CONNECT, clean": func(r *rig) { r.start(connect("s")) },
		"CONNECT":        func(r *rig) { r.start(willed(kept("s"), will("x"))) },
		"CONNECT that waits": func(r *rig) {
			r.start(willed(kept("s"), will("x")))
			r.start(kept("s"))
		},
		"SUBSCRIBE":   func(r *rig) { r.start(kept("s")).send(sub(1, 1, "b", "a")) },
		"UNSUBSCRIBE": func(r *rig) { r.start(kept("s")).send(unsub(1, "b")) },
	} {
		for _, fails := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				r.subscribed(kept("s"), 1, "a", "b").cut()
				r.hold()
				f(r)
				r.reload("a")
				if fails {
					r.fail = errDisk
				}
				r.release()
				r.fail = nil
				require.Zero(t, r.Stats().Connections)
				p := r.connect(user("v", connect("p")))
				p.send(pub(1, 1, "b", "m"))
				require.Empty(t, r.waiting("s"), "past the permissions")
				n := 0
				for f := range r.disk.session(1).Filters {
					if f == "a" {
						n++
					}
				}
				require.Equal(t, n, r.Stats().Subscriptions)
			})
		}
	}
}

// A CONNECT that waits does not discard a session when its user has been changed meanwhile.
func TestReloadWhileCleanSessionWaits(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("s"), 1, "a").cut()
	r.hold()
	r.start(willed(kept("s"), will("x"))).cut()
	p := r.start(connect("s"))
	r.reload("a")
	r.release()
	p.isClosed("connack 3")
	require.Len(t, r.disk.sessions, 1)
}

// A publication without permission closes the connection. [MQTT-3.3.5-2]
func TestForbiddenPublication(t *testing.T) {
	r := newRig(t)
	r.users = book(t, permit("u", []string{"a"}, all), auth.Principal{Username: "nobody", Password: "p"})
	r.SetUsers(r.users)
	s := r.subscribed(connect("s"), 0, "#")
	for _, x := range []packet.Generic{pub(0, 0, "b", "m"), pub(1, 1, "b", "m"), retained(0, 0, "b", "m")} {
		p := r.connect(connect("p"))
		p.send(pub(1, 1, "a", "m"), x, pub(1, 1, "a", "n"))
		p.isClosed("puback 1")
		s.is("a=m")
	}
	require.EqualValues(t, 3, r.Stats().Forbidden)
	r.start(willed(connect("w"), packet.Message{Topic: "b"})).isClosed("connack 5")
	r.start(user("nobody", connect("n"))).isClosed("connack 5")
}
