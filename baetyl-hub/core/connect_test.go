package core_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

func TestConnectAnswers(t *testing.T) {
	other := func(p *packet.Connect) *packet.Connect { p.Username = "v"; return p }
	r := newRig(t, func(o *core.Options) { o.ClientIDMax = 6 })
	r.connect(kept("mine"))
	for name, c := range map[string]struct {
		x    *packet.Connect
		want string
	}{
		"clean":              {connect("a"), "connack 0"},
		"without id":         {connect(""), "connack 0"},
		"kept":               {kept("b"), "connack 0"},
		"again":              {kept("mine"), "connack 0 present"},
		"of another user":    {other(kept("mine")), "connack 2"},
		"any characters":     {connect("h.x/ü "), "connack 0"},
		"too long":           {connect("1234567"), "connack 2"},
		"U+0000":             {connect("\x001"), "connack 2"},
		"own topic":          {willed(connect("d"), packet.Message{Topic: "$d/x"}), "connack 0"},
		"will with wildcard": {willed(connect("c"), packet.Message{Topic: "a/#"}), "connack 5"},
	} {
		p := r.start(c.x)
		require.Equal(t, c.want, p.next(), name)
		require.Equal(t, c.want[8] != '0', p.closed, name)
	}
}

// With session.clientid.strict ids have the characters of every server [MQTT-3.1.3-5], - and _.
func TestStrictClientIDs(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ClientIDStrict = true })
	for id, want := range map[string]string{"aZ09-_": "connack 0", "": "connack 0", "a.b": "connack 2", "é": "connack 2"} {
		require.Equal(t, want, r.start(connect(id)).next(), id)
	}
}

func TestConnectionsMax(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ConnectionsMax = 2 })
	p, q := r.connect(connect("a")), r.dial()
	require.False(t, q.closed)
	require.True(t, r.dial().closed)
	require.EqualValues(t, 1, r.Stats().Rejected)
	p.cut()
	require.False(t, r.dial().closed)
}

// A new connection takes over the session of another one, which is closed.
func TestTakeover(t *testing.T) {
	for _, x := range []*packet.Connect{connect("a"), kept("a")} {
		r := newRig(t)
		p := r.subscribed(x, 1, "t")
		q := r.connect(x)
		p.isClosed()
		q.send(pub(1, 1, "t", "m"))
		if x.CleanSession {
			q.is("puback 1")
		} else {
			q.is("puback 1", "t=m q1 #1")
		}
		require.Equal(t, 1, r.Stats().Sessions)
		require.Equal(t, 1, r.Stats().Connections)
	}
}

// Connections that want the same session while the store works get it one after the other.
func TestConnectionsWaitForSession(t *testing.T) {
	r := newRig(t)
	r.hold()
	a, b, c, d := r.start(kept("a")), r.start(kept("a")), r.start(kept("a")), r.start(kept("a"))
	c.cut()
	r.release()
	a.isClosed("connack 0")
	b.isClosed("connack 0 present")
	c.is()
	d.is("connack 0 present")
	require.False(t, d.closed)
	require.Len(t, r.disk.sessions, 1)
}

// A clean session discards the durable one, with what waits for it; and a durable one after it begins empty.
func TestCleanOverDurableAndBack(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("a"), 1, "t").cut()
	p := r.connect(connect("p"))
	p.send(pub(1, 1, "t", "old"))
	r.hold()
	a := r.start(connect("a"))
	p.send(pub(2, 1, "t", "while"))
	r.release()
	a.is("connack 0")
	require.Empty(t, r.disk.sessions)
	require.Zero(t, r.Stats().Subscriptions)
	p.send(pub(3, 1, "t", "after"))
	a = r.connect(kept("a"))
	a.is()
	r.restart()
	require.Equal(t, "connack 0 present", r.start(kept("a")).next())
	require.EqualValues(t, 2, r.disk.number("a"))
}

// If a CONNECT can't be stored, it is refused with code 3, and all is as before.
func TestConnectNotStored(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("a"), 1, "t").cut()
	var p, q *peer
	r.failing(func() { p, q = r.start(connect("a")), r.start(kept("b")) })
	p.isClosed("connack 3")
	q.isClosed("connack 3")
	require.Equal(t, 1, r.Stats().Sessions)
	s := r.connect(connect("s"))
	s.send(pub(1, 1, "t", "m"))
	p = r.start(kept("a"))
	p.is("connack 0 present", "t=m q1 #1")
	require.Equal(t, "connack 0", r.start(kept("b")).next())
}

// The session stays if its connection ends while CONNECT is being stored.
func TestConnectionEndsWhileConnectIsStored(t *testing.T) {
	r := newRig(t)
	r.hold()
	p := r.start(willed(kept("a"), packet.Message{Topic: "w", Payload: []byte("gone")}))
	q := r.start(willed(connect("b"), packet.Message{Topic: "w", Payload: []byte("gone too"), QOS: 1}))
	p.cut()
	q.cut()
	r.holdWrite = false
	s := r.subscribed(connect("s"), 1, "w")
	s.is()
	require.Equal(t, "connack 0 present", r.start(kept("a")).next())
	require.Equal(t, 2, r.Stats().Sessions)
	require.Empty(t, r.disk.wills)
}

func TestStop(t *testing.T) {
	r := newRig(t)
	p := r.connect(willed(kept("a"), packet.Message{Topic: "w", Payload: []byte("x")}))
	q := r.dial()
	s := r.subscribed(connect("s"), 0, "w")
	r.Stop()
	r.run()
	p.isClosed()
	q.isClosed()
	s.isClosed()
	require.True(t, r.dial().closed)
	require.Len(t, r.disk.wills, 1)
	require.Zero(t, r.Stats().Connections)
}
