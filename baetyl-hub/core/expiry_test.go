package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

func retention(d time.Duration) func(*core.Options) {
	return func(o *core.Options) { o.Retention, o.Window = d, 3 }
}

// A message that has become too old in the queue of a session is not sent, and what is behind it is.
func TestExpiredInTheQueue(t *testing.T) {
	for _, qos := range []packet.QOS{1, 2} {
		for _, connect := range []func(string) *packet.Connect{connect, kept} {
			r := newRig(t, retention(time.Minute))
			p := r.subscribed(connect("p"), qos, "t")
			by := r.connect(connect("by"))
			for i := range packet.ID(5) {
				by.send(pub(i+1, 1, "t", fmt.Sprint(i)))
			}
			r.pass(30 * time.Second)
			by.send(pub(6, 1, "t", "young"))
			p.is("t=0 q1 #1", "t=1 q1 #2", "t=2 q1 #3")
			r.pass(31 * time.Second)
			p.send(puback(1), puback(2), puback(3)) // in flight when they became old
			p.is("t=young q1 #6")
			require.EqualValues(t, 2, r.Stats().Expired)
			p.send(puback(6))
			r.pass(settling)
			if r.disk.number("p") != 0 {
				require.EqualValues(t, 6, r.disk.head("p"))
			}
		}
	}
}

// What the store had is as old as the store says.
func TestExpiredAfterRead(t *testing.T) {
	r := newRig(t, retention(time.Minute))
	r.subscribed(kept("p"), 1, "t").cut()
	by := r.connect(connect("by"))
	for i := range packet.ID(4) {
		by.send(pub(i+1, 1, "t", fmt.Sprint(i)))
	}
	r.disk.age("p", 50*time.Second)
	p := r.connect(kept("p"))
	p.is("t=0 q1 #1", "t=1 q1 #2", "t=2 q1 #3")
	r.pass(15 * time.Second)
	p.send(puback(1), puback(2), puback(3))
	require.Empty(t, p.got())
	require.EqualValues(t, 1, r.Stats().Expired)
	by.send(pub(5, 1, "t", "young"))
	p.is("t=young q1 #5")
}

// What waits as bytes for a client that does not read is withdrawn too, with QoS 0 and answers around it left as they
// are. What is repeated had been sent in time.
func TestExpiredInTheBuffer(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Retention, o.Retry = time.Minute, 20*time.Second })
	p := r.subscribed(connect("p"), 2, "#")
	p.slow = true
	by := r.connect(connect("by"))
	by.send(pub(1, 1, "t", "run"))
	by.send(pub(2, 1, "t", "old"), pub(0, 0, "t", "zero"), pub(3, 2, "t", "old too"))
	p.send(&packet.Pingreq{})
	r.pass(50 * time.Second)
	by.send(pub(4, 1, "t", "young"))
	r.pass(15 * time.Second)
	p.read()
	p.is("t=run q1 #1", "t=zero", "Pingresp", "t=young q1 #4")
	require.EqualValues(t, 2, r.Stats().Expired)
	p.send(puback(1))
	r.pass(41 * time.Second)
	p.is("t=young q1 #4 dup")
	p.send(puback(4))
	by.send(pub(5, 1, "t", "next"))
	p.is("t=next q1 #5")
}

// In the middle of a run, portions that follow have no old messages.
func TestExpiredBetweenPortions(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Retention = time.Minute })
	p := r.subscribed(connect("p"), 1, "#")
	by := r.connect(connect("by"))
	p.slow = true
	large := string(make([]byte, 30<<10))
	by.send(pub(1, 1, "t", "run"))
	for i := range packet.ID(6) {
		by.send(pub(i+2, 1, "t", large))
	}
	r.pass(50 * time.Second)
	by.send(pub(8, 1, "t", "young"))
	p.take() // the first portion is on its way
	r.run()
	r.pass(15 * time.Second)
	p.read()
	got := p.got()
	require.Equal(t, "t=run q1 #1", got[0])
	require.Len(t, got, 5) // and three that the socket had
	require.Equal(t, "t=young q1 #8", got[4])
	require.EqualValues(t, 3, r.Stats().Expired)
}
