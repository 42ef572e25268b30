package core_test

import (
	"slices"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// An exchange continues on a second connection while the store works: each connection gets as many answers as it has
// sent packets that need one.
func TestExchangeOverTwoConnections(t *testing.T) {
	const rec, comp = "pubrec 5", "pubcomp 5"
	publish, rel := pub(5, 2, "t", "first"), pubrel(5)
	type list = []packet.Generic
	type texts = []string
	for name, c := range map[string]struct {
		before  list  // answered on the first connection
		first   list  // sent on the first connection while the store works
		second  list  // sent on the second connection while the store works
		answers texts // on the second connection
		copies  int   // messages that are published in total
	}{
		"PUBLISH, nothing asked":       {nil, list{publish}, nil, nil, 1},
		"PUBLISH again":                {nil, list{publish}, list{publish}, texts{rec}, 1},
		"PUBLISH twice again":          {nil, list{publish}, list{publish, publish}, texts{rec, rec}, 1},
		"PUBREL before PUBREC":         {nil, list{publish}, list{rel}, texts{comp}, 1},
		"PUBLISH again and PUBREL":     {nil, list{publish}, list{publish, rel}, texts{rec, comp}, 1},
		"PUBREL, nothing asked":        {list{publish}, list{rel}, nil, nil, 1},
		"PUBREL again":                 {list{publish}, list{rel}, list{rel}, texts{comp}, 1},
		"PUBREL twice again":           {list{publish}, list{rel}, list{rel, rel}, texts{comp, comp}, 1},
		"PUBREL, then another message": {list{publish}, list{rel}, list{publish}, texts{rec}, 2},
		"both on the second":           {nil, nil, list{publish, rel}, texts{rec, comp}, 1},
		"both, and PUBREL again":       {nil, list{publish, rel}, list{rel}, texts{comp}, 1},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				r.subscribed(kept("sub"), 2, "t").cut()
				p := r.connect(kept("pub"))
				for _, x := range c.before {
					p.send(x)
					p.is(rec)
				}
				r.hold()
				p.send(c.first...)
				p.is()
				q := r.start(kept("pub"))
				p.isClosed()
				q.send(c.second...)
				r.release()
				q.is(append(texts{"connack 0 present"}, c.answers...)...)
				if restart {
					r.restart()
					q = r.connect(kept("pub"))
				}
				// The id is free again: the exchange is complete, or completed now.
				q.send(rel)
				q.is(comp)
				q.send(pub(5, 2, "t", "next"))
				q.is(rec)
				q.send(rel)
				q.is(comp)
				require.Len(t, r.waiting("sub"), c.copies+1)
			})
		}
	}
}

// The hub closes the connection of a client that uses an id again before PUBCOMP: the message is not acknowledged, and
// not published twice.
func TestIDUsedTooEarly(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("sub"), 2, "t").cut()
	p := r.connect(kept("pub"))
	r.hold()
	p.send(pub(5, 2, "t", "first"), pubrel(5), pub(5, 2, "t", "second"))
	r.release()
	p.isClosed()
	require.Len(t, r.waiting("sub"), 1)
}

// A transient session needs no store for QoS 2, and its exchanges end with it.
func TestExchangeOfTransientSession(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(connect("sub"), 2, "t"), r.connect(connect("pub"))
	for range 3 {
		p.send(pub(5, 2, "t", "m"), pub(5, 2, "t", "m"), pubrel(5), pubrel(5))
		p.is("pubrec 5", "pubrec 5", "pubcomp 5", "pubcomp 5")
	}
	s.is("t=m q2 #1", "t=m q2 #2", "t=m q2 #3")
	p.send(pub(5, 2, "t", "m"))
	p.is("pubrec 5")
	p = r.connect(connect("pub"))
	p.send(pub(5, 2, "t", "n"))
	s.is("t=m q2 #4", "t=n q2 #5")
}

// PUBACK and PUBREC come when the message is stored, in the order of the messages, also for those that need no store.
func TestPublicationsAreAnsweredInOrder(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("sub"), 1, "t").cut()
	s, p := r.subscribed(connect("s"), 1, "#"), r.connect(kept("pub"))
	r.hold()
	p.send(pub(1, 1, "t", "1"), pub(0, 0, "none", "2"), pub(2, 1, "none", "3"), pub(3, 2, "t", "4"), pub(0, 0, "t", "5"))
	p.is()
	s.is()
	r.release()
	p.is("puback 1", "puback 2", "pubrec 3")
	s.is("t=1 q1 #1", "none=2", "none=3 q1 #2", "t=4 q1 #3", "t=5")
}

// If a batch fails, its publishers are closed without an answer, nobody gets the message, and it can be sent again.
func TestPublicationNotStored(t *testing.T) {
	for _, qos := range []packet.QOS{0, 1, 2} {
		for name, x := range sessions {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				d, s := r.subscribed(kept("sub"), 2, "t"), r.subscribed(connect("s"), 2, "t")
				p := r.connect(x("pub"))
				m := retained(packet.ID(qos), qos, "t", "m")
				r.failing(func() { p.send(m) })
				p.isClosed()
				s.is()
				d.is()
				require.Zero(t, r.Stats().Retained)
				require.EqualValues(t, 1, r.Stats().Unstored)
				p = r.connect(x("pub"))
				p.send(m)
				require.Len(t, p.got(), min(int(qos), 1))
				require.Len(t, s.got(), 1)
				got := d.got()
				require.Len(t, got, 1)
				if qos > 0 { // the position of the failed one stays empty
					require.Contains(t, got[0], "#2")
					require.Equal(t, r.waiting("sub")[0].Position, uint64(1))
				}
			})
		}
	}
}

// A message does not overtake an earlier one of the same publisher that could not be stored.
func TestOrderAfterFailure(t *testing.T) {
	for _, qos := range []packet.QOS{1, 2} {
		for _, full := range []bool{false, true} {
			for name, x := range sessions {
				t.Run(name, func(t *testing.T) {
					r := newRig(t)
					s := r.subscribed(x("s"), qos, "t")
					list := []packet.Generic{
						pub(1, qos, "t", "1"), retained(2, qos, "t", "2, which is long"), pub(3, qos, "t", "3"), pub(4, qos, "t", "4"),
					}
					p := r.connect(kept("p"))
					r.hold()
					if full {
						r.room = map[string]int64{"durable": 45, "transient": 10}[name] // for the first one
						r.run()
					} else {
						p.send(list[1])
						list = list[1:]
					}
					p.send(list[:len(list)-1]...)
					p.send(list[len(list)-1])
					if !full {
						r.fail = errDisk
						r.stored()
						r.fail = nil
					}
					r.room = 1 << 20
					r.release()
					require.True(t, p.closed)
					for _, x := range s.got() {
						require.Contains(t, x, "t=1")
					}
					p = r.connect(kept("p"))
					p.send(list...)
					last := byte(0)
					for _, x := range s.got() {
						require.GreaterOrEqual(t, x[2], last)
						last = x[2]
					}
					require.Equal(t, byte('4'), last)
				})
			}
		}
	}
}

// A QoS 2 message has no room. Its publisher connects again before it is told, and sends it again with another one.
func TestOrderAfterRefusalOverTwoConnections(t *testing.T) {
	r := newRig(t)
	s := r.subscribed(kept("s"), 2, "t")
	p, fence := r.connect(kept("p")), r.connect(connect("fence"))
	r.hold()
	fence.send(retained(1, 1, "fence", "x")) // keeps the store busy
	r.room = 10
	r.Room(r.room)
	list := []packet.Generic{pub(1, 2, "t", "1"), pub(2, 1, "t", "2")}
	p.send(list...)
	q := r.start(kept("p"))
	p.isClosed()
	r.room = 1 << 20
	r.Room(r.room)
	q.send(list...)
	r.release()
	q.isClosed("connack 0 present")
	s.is()
	q = r.connect(kept("p"))
	q.send(list...)
	q.is("pubrec 1", "puback 2")
	require.Len(t, s.got(), 2)
}

// What has no room is refused; removing a retained message, and what is not stored, needs none.
func TestFullStore(t *testing.T) {
	r := newRig(t)
	s := r.subscribed(kept("s"), 1, "t")
	p := r.connect(kept("pub"))
	p.send(retained(1, 1, "kept", "m"))
	p.is("puback 1")
	r.room = 20
	r.run()
	p.send(pub(2, 1, "none", "m"), pub(3, 2, "none", "m"), pub(0, 0, "t", "q"), retained(4, 1, "kept", ""))
	p.is("puback 2", "pubrec 3", "puback 4")
	s.is("t=q")
	live := r.subscribed(connect("live"), 2, "w")
	for qos := range packet.QOS(3) { // a will that nobody needs stored
		will := packet.Message{Topic: "w", Payload: []byte("gone"), QOS: qos}
		r.connect(willed(connect("w"), will)).cut()
		require.Contains(t, live.next(), "w=gone")
	}
	r.connect(willed(connect("w"), packet.Message{Topic: "kept", Retain: true})).cut() // it removes a message
	require.Zero(t, r.Stats().Retained+int(r.Stats().Unstored))
	p.send(pub(5, 1, "t", "m"))
	p.isClosed()
	p = r.connect(kept("pub"))
	p.send(retained(6, 1, "kept", "a message that is longer"))
	p.isClosed()
	require.EqualValues(t, 2, r.Stats().Full)
	r.room = 1000
	r.run()
	p = r.connect(kept("pub"))
	p.send(pub(5, 1, "t", "m"))
	p.is("puback 5")
	s.is("t=m q1 #1")
}

// A message that is being stored needs room too.
func TestRoomOfABatch(t *testing.T) {
	r := newRig(t)
	r.subscribed(kept("s"), 1, "t").cut()
	p := r.connect(connect("pub"))
	r.room = 400
	r.run()
	r.hold()
	for range 20 {
		p.send(pub(1, 1, "t", string(make([]byte, 50))))
		r.step()
	}
	r.release()
	p.isClosed(slices.Repeat([]string{"puback 1"}, 6)...)
	require.Len(t, r.waiting("s"), 6)
}

// A client that has Ingress messages unstored is paused; the rest is read when they are stored.
func TestIngress(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Ingress = 3 })
	r.subscribed(kept("s"), 1, "t").cut()
	p := r.connect(kept("pub"))
	r.hold()
	var list []packet.Generic
	for i := range 10 {
		list = append(list, pub(packet.ID(i+1), packet.QOS(1+i%2), "t", "m"))
	}
	p.send(list...)
	require.True(t, p.c.Paused())
	require.NotEmpty(t, p.out)
	ops, _ := r.Waiting()
	require.LessOrEqual(t, ops, 3)
	r.release()
	require.Len(t, p.got(), 10)
	require.Empty(t, p.out)
	require.Len(t, r.waiting("s"), 10)
}

// A client of MQTT 3.1 may send PUBREL, SUBSCRIBE and UNSUBSCRIBE again with DUP, one of MQTT 3.1.1 may not.
func TestDupOfOldClients(t *testing.T) {
	for version, want := range map[byte][]string{
		3: {"pubrec 1", "pubcomp 1", "suback 2 [0]", "unsuback 3"}, 4: {"pubrec 1"},
	} {
		r := newRig(t)
		x := connect("a")
		x.Version = version
		p := r.connect(x)
		p.send(pub(1, 2, "t", "x"))
		for _, again := range []packet.Generic{pubrel(1), sub(2, 0, "f"), unsub(3, "f")} {
			b := encode(t, again)
			b[0] |= 8
			p.raw(b)
		}
		p.is(want...)
		require.Equal(t, version == 4, p.closed)
	}
}
