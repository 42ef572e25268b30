package core_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

func bridge(x *packet.Connect) *packet.Connect {
	x.Version |= core.BridgeBit
	return x
}

// A bridge gets no copy of its own messages, also when it was away; those of others keep their retain flag.
func TestBridge(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.connect(bridge(x("host.name")))
			b.send(sub(1, 1, "#", "a"))
			b.is("suback 1 [1 1]")
			r.SetRoutes([]core.StaticRoute{{Source: "from", SourceQOS: 1, Target: "to", TargetQOS: 1}})
			p := r.subscribed(connect("p"), 1, "a", "to")
			b.send(pub(0, 0, "a", "1"), pub(1, 1, "a", "2"), pub(2, 2, "a", "3"), retained(3, 1, "a", "4"))
			b.is("puback 1", "pubrec 2", "puback 3")
			p.is("a=1", "a=2 q1 #1", "a=3 q1 #2", "a=4 q1 #3")
			p.send(retained(1, 1, "a", "5"), retained(0, 0, "a", "6"), pub(0, 0, "a", "7"))
			b.is("a=5 q1 #1 retained", "a=6 retained", "a=7")
			b.send(pub(4, 1, "from", "8")) // a copy by a route is none of its own
			b.is("puback 4", "to=8 q1 #2")
		})
	}
}

// What a bridge says of its state is acknowledged, and nobody gets it; $SYS is not written otherwise.
func TestStateOfBridge(t *testing.T) {
	r := newRig(t)
	r.users = book(t, permit("u", []string{"in"}, all))
	r.SetUsers(r.users)
	const state = "$SYS/broker/connection/host.name/state"
	s := r.subscribed(connect("s"), 1, "$SYS/#")
	for range 2 {
		will := packet.Message{Topic: state, Payload: []byte("0"), QOS: 1, Retain: true}
		b := r.connect(bridge(willed(kept("host.name"), will)))
		b.send(retained(1, 1, state, "1"), retained(2, 2, state, "1"), retained(0, 0, state, "1"), pub(0, 0, state, "1"))
		b.is("puback 1", "pubrec 2")
		b.cut()
	}
	s.send(sub(2, 1, "$SYS/#"))
	s.is("suback 2 [1]")
	for _, name := range []string{"$SYS/broker/connection/+/state", "$SYS/broker/connection//state", "$SYS/state"} {
		p := r.connect(connect("p"))
		p.send(pub(1, 1, name, "m"))
		p.isClosed()
	}
}
