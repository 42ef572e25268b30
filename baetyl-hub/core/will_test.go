package core_test

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

func will(payload string) packet.Message {
	return packet.Message{Topic: "w", Payload: []byte(payload), QOS: 1}
}

// willKey is the key of a will of the user u.
func willKey(client string) string { return record.WillKey(client, "u") }

// A will is published when the connection ends in another way than DISCONNECT, and is not in the store any more then.
func TestWill(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig, p *peer)
		want []string
	}{
		"connection lost": {func(_ *rig, p *peer) { p.cut() }, []string{"w=x q1 #1"}},
		"DISCONNECT":      {func(_ *rig, p *peer) { p.send(packet.NewDisconnect()) }, nil},
		"violation":       {func(_ *rig, p *peer) { p.send(packet.NewConnack()) }, []string{"w=x q1 #1"}},
		"takeover":        {func(r *rig, _ *peer) { r.connect(connect("a")) }, []string{"w=x q1 #1"}},
		"takeover, will":  {func(r *rig, _ *peer) { r.connect(willed(connect("a"), will("y"))) }, []string{"w=x q1 #1"}},
		"user changed":    {func(r *rig, _ *peer) { r.reload("#") }, []string{"w=x q1 #1"}},
		"right withdrawn": {func(r *rig, _ *peer) {
			r.users = book(r.t, permit("u", []string{"x"}, all), permit("v", all, all))
			r.SetUsers(r.users)
			r.run()
		}, nil},
		"user removed": {func(r *rig, _ *peer) {
			r.users = book(r.t, permit("v", all, all))
			r.SetUsers(r.users)
			r.run()
		}, nil},
	} {
		for kind, x := range sessions {
			t.Run(name+", "+kind, func(t *testing.T) {
				r := newRig(t)
				v := connect("s")
				v.Username = "v"
				s := r.subscribed(v, 1, "w")
				p := r.connect(willed(x("a"), will("x")))
				require.Len(t, r.disk.wills, 1)
				s.is()
				c.end(r, p)
				s.is(c.want...)
				if name == "takeover, will" {
					require.Equal(t, "y", string(r.disk.wills[willKey("a")].Payload))
				} else {
					require.Empty(t, r.disk.wills)
				}
			})
		}
	}
}

// After a restart, wills of clients that do not come back in time are published.
func TestWillAfterRestart(t *testing.T) {
	r := newRig(t)
	r.connect(willed(connect("back"), will("back")))
	r.connect(willed(connect("late"), will("late")))
	r.connect(willed(connect(""), will("nameless")))
	r.restart()
	s := r.subscribed(connect("s"), 1, "w")
	p := r.connect(connect("back"))
	q := r.connect(willed(connect(""), will("new nameless")))
	r.pass(9 * time.Second)
	s.is()
	r.pass(2 * time.Second)
	require.ElementsMatch(t, []string{"w=late q1 #2", "w=nameless q1 #1"}, s.got())
	p.cut()
	s.is()
	require.Len(t, r.disk.wills, 1)
	q.cut()
	s.is("w=new nameless q1 #3")
	require.Empty(t, r.disk.wills)
}

// A client whose CONNECT can't be stored has not come back.
func TestWillOfClientThatCannotComeBack(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRig(t)
		r.connect(willed(connect("a"), will("x")))
		r.restart()
		s := r.subscribed(connect("s"), 1, "w")
		r.hold()
		p := r.start(connect("a"))
		if late {
			r.pass(10 * time.Second)
		}
		r.failing(r.release)
		p.isClosed("connack 3")
		r.pass(11 * time.Second)
		s.is("w=x q1 #1")
		require.Empty(t, r.disk.wills)
	}
}

// A will that can't be stored is published later, and leaves the will of a newer connection alone.
func TestWillNotStored(t *testing.T) {
	for name, back := range map[string]*packet.Connect{
		"absent": nil, "back": connect("a"), "back with a will": willed(connect("a"), will("y")),
	} {
		for _, full := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				d := r.subscribed(kept("s"), 1, "w")
				p := r.connect(willed(connect("a"), will("x")))
				room := r.room
				if full {
					r.room = 0
					r.run()
					p.cut()
				} else {
					r.failing(p.cut)
				}
				d.is()
				if back != nil {
					r.connect(back)
				}
				r.room = room
				r.run()
				r.pass(3 * time.Second)
				got := d.got()
				require.Len(t, got, 1)
				require.Contains(t, got[0], "w=x q1")
				if name == "back with a will" {
					require.Equal(t, "y", string(r.disk.wills[willKey("a")].Payload))
				} else {
					require.Empty(t, r.disk.wills)
				}
			})
		}
	}
}

// A full store holds one will for each client, not one for each of its connections.
func TestWillsOfAFullStore(t *testing.T) {
	r := newRig(t)
	d := r.subscribed(kept("s"), 1, "w")
	r.room = 0
	r.run()
	for range 10 {
		r.connect(willed(connect("a"), will("x"))).cut()
	}
	r.room = 1 << 20
	r.run()
	r.pass(3 * time.Second)
	require.Len(t, d.got(), 1)
}

// A will that can't be deleted at DISCONNECT is deleted later.
func TestWillNotDeleted(t *testing.T) {
	r := newRig(t)
	p := r.connect(willed(connect("a"), will("x")))
	r.failing(func() { p.send(packet.NewDisconnect()) })
	require.Len(t, r.disk.wills, 1)
	r.pass(2 * time.Second)
	require.Empty(t, r.disk.wills)
}

// A will that is owed leaves alone the new will of the client, which is being stored.
func TestOwedWillWhileConnecting(t *testing.T) {
	r := newRig(t)
	d, p := r.subscribed(kept("s"), 1, "w"), r.connect(willed(connect("a"), will("x")))
	r.room = 0
	r.run()
	p.cut()
	r.hold()
	q := r.start(willed(connect("a"), will("y")))
	r.room = 1 << 20
	r.Room(r.room)
	r.pass(2 * time.Second)
	r.release()
	q.is("connack 0")
	require.Len(t, d.got(), 1)
	require.Equal(t, "y", string(r.disk.wills[willKey("a")].Payload))
}

// The will of a connection that is taken over comes before what the new one publishes: who is back must not seem gone.
func TestWillBeforeWhatTheNextConnectionPublishes(t *testing.T) {
	for _, make := range []func(string) *packet.Connect{connect, kept} {
		r := newRig(t)
		s := r.subscribed(connect("s"), 0, "w")
		r.connect(willed(make("a"), will("gone")))
		r.hold()
		p := r.start(make("a"))
		p.send(pub(0, 0, "w", "back"))
		r.release()
		s.is("w=gone", "w=back")
		require.Contains(t, p.next(), "connack 0")
	}
}
