package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/conf"
)

func rate(messages int, bytes int64) func(*core.Options) {
	return func(o *core.Options) {
		o.ClientRate.Messages = messages
		o.ClientRate.Bytes = conf.Size(bytes)
	}
}

func series(qos packet.QOS, from, to int) (list []packet.Generic) {
	for i := from; i < to; i++ {
		list = append(list, pub(packet.ID(i), qos, "t", fmt.Sprint(i)))
	}
	return list
}

// QoS 1 and 2 messages over the rate wait, in order, and none is lost. Meanwhile PINGREQ is answered, and others are
// not held up.
func TestSlowedDown(t *testing.T) {
	for _, qos := range []packet.QOS{1, 2} {
		r := newRig(t, rate(10, 0))
		s := r.subscribed(kept("s"), 1, "t")
		by := r.connect(connect("by"))
		by.send(append(series(qos, 1, 51), &packet.Pingreq{})...)
		require.Len(t, s.got(), 10)
		got := by.got()
		require.Len(t, got, 11)
		require.Contains(t, got, "Pingresp")
		other := r.connect(connect("other"))
		other.send(pub(1, 1, "t", "other"))
		other.is("puback 1")
		require.Equal(t, "t=other q1 #11", s.next())
		for i := 11; i < 51; i++ {
			require.Empty(t, s.got())
			r.pass(100 * time.Millisecond)
			require.Equal(t, fmt.Sprintf("t=%d q1 #%d", i, i+1), s.next())
		}
		require.Len(t, by.got(), 40)
		require.EqualValues(t, 40, r.Stats().Slowed)
		require.Zero(t, r.Stats().RateDropped)
	}
}

// QoS 0 messages over the rate are dropped, also in the middle of a burst and behind held ones.
func TestQOS0OverTheRate(t *testing.T) {
	r := newRig(t, rate(10, 0))
	s := r.subscribed(connect("s"), 1, "t")
	by := r.connect(connect("by"))
	by.send(series(0, 0, 50)...)
	require.Len(t, s.got(), 10)
	require.EqualValues(t, 40, r.Stats().RateDropped)
	r.pass(time.Second)
	by.send(append(series(1, 1, 12), series(0, 0, 5)...)...)
	require.Len(t, s.got(), 10)
	require.EqualValues(t, 45, r.Stats().RateDropped)
	r.pass(150 * time.Millisecond)
	s.is("t=11 q1 #11")
	r.pass(time.Second)
	by.send(pub(0, 0, "t", "again"))
	s.is("t=again")
}

// Bytes count with the packet's header. Few are held: then the client is not read from any more.
func TestBytesOverTheRate(t *testing.T) {
	r := newRig(t, rate(0, 10<<10))
	by := r.connect(connect("by"))
	large := string(make([]byte, 10<<10))
	for i := range packet.ID(6) {
		by.send(pub(i+1, 1, "t", large))
	}
	by.is("puback 1")
	require.True(t, by.c.Paused())
	require.NotEmpty(t, by.out)
	for i := range 5 {
		r.pass(1100 * time.Millisecond)
		require.Equal(t, fmt.Sprint("puback ", i+2), by.next())
	}
	require.Empty(t, by.got())
	require.False(t, by.c.Paused())
}

// SUBSCRIBE and DISCONNECT keep their place behind what waits; the will of a client that says goodbye is not published.
func TestGoodbyeBehindTheRate(t *testing.T) {
	r := newRig(t, rate(1, 0))
	s := r.subscribed(connect("s"), 1, "#")
	by := r.connect(willed(connect("by"), packet.Message{Topic: "will", Payload: []byte("x")}))
	by.send(retained(1, 1, "t", "1"), retained(2, 1, "t", "2"), sub(3, 0, "t"), pub(4, 1, "t", "3"),
		&packet.Disconnect{})
	by.is("puback 1")
	r.pass(1100 * time.Millisecond)
	by.is("puback 2", "suback 3 [0]", "t=2 retained")
	require.False(t, by.closed)
	r.pass(time.Second)
	by.isClosed("puback 4", "t=3")
	s.is("t=1 q1 #1", "t=2 q1 #2", "t=3 q1 #3")
}

// When the connection of a client ends in another way, what was held is published, and then its will. The client's
// principal still has to wait for it.
func TestEndBehindTheRate(t *testing.T) {
	for _, qos := range []packet.QOS{1, 2} {
		r := newRig(t, func(o *core.Options) { o.PrincipalRate.Messages = 2 })
		x := connect("s")
		x.Username = "v"
		s := r.subscribed(x, 1, "#")
		by := r.connect(willed(connect("by"), packet.Message{Topic: "will", Payload: []byte("x")}))
		by.send(series(qos, 1, 6)...)
		require.Len(t, s.got(), 2)
		by.cut()
		s.is("t=3 q1 #3", "t=4 q1 #4", "t=5 q1 #5", "will=x")
		by = r.connect(connect("by"))
		by.send(pub(0, 0, "t", "0"))
		require.Empty(t, s.got())
		r.pass(2 * time.Second)
		by.send(pub(0, 0, "t", "0"))
		s.is("t=0")
	}
}

// All clients of a principal share its rate, and those of another one do not feel it. A reload changes it.
func TestRateOfAPrincipal(t *testing.T) {
	r := newRig(t)
	slow := permit("u", all, all)
	slow.Limits.Publish.Messages = 4
	r.users = book(t, slow, permit("v", all, all))
	r.SetUsers(r.users)
	x := connect("s")
	x.Username = "v"
	s := r.subscribed(x, 0, "t")
	for i := range 6 {
		r.connect(connect(fmt.Sprint(i))).send(pub(0, 0, "t", fmt.Sprint(i)))
	}
	s.is("t=0", "t=1", "t=2", "t=3")
	s.send(series(0, 0, 20)...)
	require.Len(t, s.got(), 20)

	a := r.connect(connect("a"))
	for _, rate := range []int{0, 1, 100} {
		slow.Limits.Publish.Messages = rate
		r.users = book(t, slow, permit("v", all, all))
		r.SetUsers(r.users)
		r.pass(time.Minute)
		a.send(series(0, 0, 20)...)
		want := 20
		if rate == 1 {
			want = 1
		}
		require.Len(t, s.got(), want)
	}
	r.users = book(t, permit("v", all, all))
	r.SetUsers(r.users)
	r.run()
	require.True(t, a.closed)
}

// What is held when subscriptions change takes the way that is right then.
func TestSubscriptionsChangeBehindTheRate(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ClientRate = budget.Rate{Messages: 1} })
	s := r.subscribed(kept("s"), 1, "t")
	by := r.connect(connect("by"))
	by.send(series(1, 1, 4)...)
	s.is("t=1 q1 #1")
	s.send(&packet.Unsubscribe{ID: 1, Topics: []string{"t"}})
	s.is("unsuback 1")
	late := r.subscribed(connect("late"), 1, "#")
	r.pass(3 * time.Second)
	late.is("t=2 q1 #1", "t=3 q1 #2")
	require.Empty(t, s.got())
}

// The last value of a topic is not lost, whatever its QoS.
func TestRetainedOverTheRate(t *testing.T) {
	r := newRig(t, rate(10, 0))
	by := r.connect(connect("by"))
	for i := range 15 {
		by.send(retained(0, 0, "t", fmt.Sprint(i)))
	}
	r.subscribed(connect("s"), 0, "t").is("t=9 retained")
	r.pass(time.Second)
	r.subscribed(connect("s"), 0, "t").is("t=14 retained")
	require.Zero(t, r.Stats().RateDropped)
}

// A client that goes far over its rate with QoS 0 is not read from for a while: it takes no time of others.
func TestQOS0FarOverTheRate(t *testing.T) {
	r := newRig(t, rate(10, 0))
	s := r.subscribed(connect("s"), 0, "t")
	by := r.connect(connect("by"))
	by.send(append(series(0, 0, 330), &packet.Pingreq{}, &packet.Disconnect{})...)
	for i := range 3 {
		require.Len(t, s.got(), 10)
		require.EqualValues(t, 100*(i+1), r.Stats().RateDropped)
		require.True(t, by.c.Paused())
		require.Empty(t, by.got())
		r.pass(time.Second)
	}
	by.isClosed("Pingresp")
}
