package core_test

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// After a restart a will waits for its own user: another one with the same client id neither voids it nor replaces it,
// and when that one's right is gone it is not published.
func TestWillOfAnotherUser(t *testing.T) {
	for name, x := range map[string]struct {
		pub  []string // what u may publish
		want []string
	}{"permitted": {all, []string{"w=of u q1 #1"}}, "withdrawn": {[]string{"x"}, nil}, "removed": {nil, nil}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.connect(willed(connect("a"), will("of u")))
			r.users = book(t, permit("u", x.pub, all), permit("v", all, all))
			if x.pub == nil {
				r.users = book(t, permit("v", all, all))
			}
			r.restart()
			s := r.subscribed(user("v", connect("s")), 1, "w")
			p := r.connect(user("v", willed(connect("a"), will("of v"))))
			require.Len(t, r.disk.wills, 2)
			p.send(packet.NewDisconnect())
			require.Len(t, r.disk.wills, 1)
			r.connect(user("v", willed(kept("a"), will("of v"))))
			r.pass(11 * time.Second)
			s.is(x.want...)
			require.Len(t, r.disk.wills, 1)
			require.Equal(t, "of v", string(r.disk.wills[record.WillKey("a", "v")].Payload))
		})
	}
}

// Wills that are owed are one for each user of a client id.
func TestOwedWillsOfTwoUsers(t *testing.T) {
	r := newRig(t)
	d := r.subscribed(kept("s"), 1, "w")
	r.room = 0
	r.run()
	r.connect(willed(connect("a"), will("of u"))).cut()
	r.connect(user("v", willed(connect("a"), will("of v")))).cut()
	r.room = 1 << 20
	r.run()
	r.pass(3 * time.Second)
	require.ElementsMatch(t, []string{"w=of u q1 #1", "w=of v q1 #2"}, d.got())
	require.Empty(t, r.disk.wills)
}

// A will that an older hub stored belongs to the user of the client's session, and without one to whoever comes first.
func TestWillOfAnOlderHub(t *testing.T) {
	for name, x := range map[string]struct {
		session, back bool
		by            string
		want          []string
	}{
		"nobody comes":                   {false, false, "", []string{"w=old q1 #1"}},
		"back":                           {false, true, "u", nil},
		"back to its session":            {true, true, "u", nil},
		"another one, without a session": {false, true, "v", nil},
		"another one, with a session":    {true, true, "v", []string{"w=old q1 #1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if x.session {
				r.connect(kept("a")).cut()
			}
			w := will("old")
			r.disk.wills["a"] = record.Message{Topic: w.Topic, Payload: w.Payload, QOS: 1}
			r.restart()
			s := r.subscribed(connect("s"), 1, "w")
			if x.back {
				p := r.start(user(x.by, kept("a")))
				require.Equal(t, x.session && x.by == "v", p.closed)
			}
			r.pass(11 * time.Second)
			s.is(x.want...)
			require.Empty(t, r.disk.wills)
		})
	}
}
