package core_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/log"
)

// A session stays with its user when that is not in the configuration any more, also after a restart: nobody else gets
// it, discards it or reads what waits.
func TestSessionOfRemovedUser(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("a"), 1, "t").cut()
	r.connect(user("v", connect("p"))).send(pub(1, 1, "t", "m"))
	both := r.users
	r.users = book(t, permit("v", all, all))
	r.SetUsers(r.users)
	for range 2 {
		r.start(user("v", kept("a"))).isClosed("connack 2")
		r.start(user("v", connect("a"))).isClosed("connack 2")
		r.restart()
	}
	r.users = both
	r.SetUsers(r.users)
	r.start(kept("a")).is("connack 0 present", "t=m q1 #1 dup")
}

// A session that a store has without a user belongs to whoever takes it first.
func TestSessionWithoutUser(t *testing.T) {
	for _, fails := range []bool{false, true} {
		r := newRig(t)
		r.subscribed(kept("a"), 1, "t").cut()
		r.disk.sessions[1].User = ""
		r.restart()
		require.Zero(t, r.Stats().Subscriptions)
		if fails {
			r.failing(func() { r.start(kept("a")).isClosed("connack 3") })
		}
		p := r.start(user("v", kept("a")))
		p.is("connack 0 present")
		p.send(pub(1, 1, "t", "m"))
		p.is("puback 1", "t=m q1 #1")
		r.start(kept("a")).isClosed("connack 2")
		r.restart()
		require.Equal(t, "v", r.disk.sessions[1].User)
		r.start(connect("a")).isClosed("connack 2")
	}
}

// Of two users who want a new client id at once, the first gets it, and nothing of the other is left.
func TestUsersWantOneClientID(t *testing.T) {
	for _, first := range []*packet.Connect{connect("a"), kept("a"), willed(connect("a"), will("u"))} {
		for _, second := range []*packet.Connect{connect("a"), kept("a"), willed(kept("a"), will("v"))} {
			for _, fails := range []bool{false, true} {
				r := newRig(t)
				r.hold()
				p := r.start(first)
				q := r.start(user("v", second))
				if fails {
					r.fail = errDisk
				}
				r.release()
				r.fail = nil
				stored := func(x *packet.Connect) bool { return !x.CleanSession || x.Will != nil }
				switch {
				case !fails || !stored(first):
					p.is("connack 0")
					q.isClosed("connack 2")
					require.False(t, p.closed)
				case stored(second):
					p.isClosed("connack 3")
					q.isClosed("connack 3")
					require.Empty(t, r.disk.wills)
				default:
					p.isClosed("connack 3")
					q.is("connack 0")
				}
			}
		}
	}
}

// A refused CONNECT is in the log with user, client id, address and reason, limited in rate.
func TestRefusedConnectIsLogged(t *testing.T) {
	var out bytes.Buffer
	r := newRig(t, func(o *core.Options) { o.Log = log.NewTo(&out, log.Config{}) })
	r.connect(kept("a"))
	for range 10 {
		r.start(user("v", kept("a"))).isClosed("connack 2")
	}
	require.Equal(t, 5, strings.Count(out.String(), "login refused"), out.String())
	for _, part := range []string{"user=v", "clientid=a ", `address=":0"`, "the client id belongs to another user"} {
		require.Contains(t, out.String(), part)
	}
	require.NotContains(t, out.String(), "connection closed")
}
