package core_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// What is refused, can't be written or is too old takes no room in the queue of a session that is not connected.
func TestQueueMaxCountsWhatWaits(t *testing.T) {
	for name, use := range map[string]func(r *rig){
		"no room": func(r *rig) {
			r.room = 10
			refused(r, "t", 10)
			r.room = 1 << 62
		},
		"failed writes": func(r *rig) {
			r.failing(func() { refused(r, "t", 10) })
		},
		"failed writes between others": func(r *rig) {
			r.failing(func() { refused(r, "t", 10) })
			r.connect(connect("p")).publish(0, 1)
			r.failing(func() { refused(r, "t", 10) })
			r.disk.expire("s", 10, 11)
			r.Expired(map[uint64]uint64{r.disk.number("s"): r.disk.session(r.disk.number("s")).Tail})
		},
		"too old": func(r *rig) {
			r.connect(connect("p")).publish(0, 5)
			r.disk.expire("s", 0, 5)
			r.Expired(map[uint64]uint64{r.disk.number("s"): 5})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *core.Options) { o.QueueMax = 5 })
			s := r.subscribed(kept("s"), 1, "t")
			s.cut()
			use(r)
			p := r.connect(connect("q"))
			p.publish(0, 7)
			require.EqualValues(t, 2, r.Stats().QueueFull)
			require.Len(t, r.waiting("s"), 5)
			s = r.connect(kept("s"))
			list := s.got()
			require.Len(t, list, 5)
			require.Contains(t, list[0], "t=0 ")
		})
	}
}

func refused(r *rig, topic string, n int) {
	r.t.Helper()
	for range n {
		p := r.connect(connect("p"))
		p.send(pub(1, 1, topic, "a message that is refused"))
		p.isClosed()
	}
}

// A message that was sent behind many that are too old comes with DUP after a restart.
func TestSentBehindExpired(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Window = 1 })
	r.subscribed(kept("s"), 1, "t").cut()
	p := r.connect(connect("p"))
	for i := range 50 {
		p.send(pub(packet.ID(i+1), 1, "t", "x"))
	}
	r.disk.expire("s", 0, 40)
	r.connect(kept("s")).is("t=x q1 #41")
	r.restart()
	r.connect(kept("s")).is("t=x q1 #41 dup")
}
