package core_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// publish sends n messages of QoS 1 to t, which are numbered from first on.
func (p *peer) publish(first, n int) {
	p.r.t.Helper()
	for i := range n {
		p.send(pub(1, 1, "t", strconv.Itoa(first+i)))
		p.is("puback 1")
	}
}

// messages are n numbered messages of QoS 1, as the subscriber gets them.
func messages(first, n int, position uint64, suffix string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("t=%d q1 #%d%s", first+i, (position+uint64(i))%65535+1, suffix))
	}
	return list
}

// No more than a window is in flight. What waits behind it is in the store, and comes in order.
func TestWindow(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *core.Options) { o.Window, o.FetchMax = 3, 4 })
			s, p := r.subscribed(x("s"), 1, "t"), r.connect(connect("p"))
			p.publish(0, 40)
			s.is(messages(0, 3, 0, "")...)
			s.send(puback(2))
			s.is(messages(3, 1, 3, "")...)
			s.send(puback(1), puback(3), puback(1), puback(99))
			s.is(messages(4, 2, 4, "")...)
			for i := 4; i <= 40; i++ {
				s.send(puback(packet.ID(i)))
			}
			require.Len(t, s.got(), 34)
			require.EqualValues(t, 40, r.Stats().Sent)
		})
	}
}

// QoS 2 to the client: PUBREC is stored before PUBREL, and the exchange continues at its step on other connections.
func TestExactlyOnceToTheClient(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(kept("s"), 2, "t"), r.connect(connect("p"))
	p.send(pub(1, 2, "t", "m"), pub(2, 2, "t", "n"))
	s.is("t=m q2 #1", "t=n q2 #2")
	r.hold()
	s.send(pubrec(1), pubrec(1))
	s.is()
	r.release()
	s.is("pubrel 1")
	s.send(pubrec(1))
	s.is("pubrel 1")
	r.restart()
	s = r.start(kept("s"))
	s.is("connack 0 present", "pubrel 1", "t=n q2 #2 dup")
	r.hold()
	s.send(pubrec(2))
	s.cut()
	r.step()
	s = r.start(kept("s"))
	r.release()
	s.is("connack 0 present", "pubrel 1", "pubrel 2")
	s.send(pubcomp(2), pubcomp(2))
	s = r.start(kept("s"))
	s.is("connack 0 present", "pubrel 1")
	s.send(pubcomp(1), pubrec(9))
	s.is("pubrel 9") // the hub does not know it; the client waits for it
	r.restart()
	r.start(kept("s")).is("connack 0 present")
	require.EqualValues(t, 2, r.disk.head("s"))
	require.Empty(t, r.waiting("s"))
}

// If the PUBREC can't be stored, no PUBREL is sent: the connection is closed. On the next one it is stored and sent.
func TestPubrecNotStored(t *testing.T) {
	for _, reconnect := range []bool{false, true} {
		r := newRig(t)
		s, p := r.subscribed(kept("s"), 2, "t"), r.connect(connect("p"))
		p.send(pub(1, 2, "t", "m"))
		s.is("t=m q2 #1")
		r.failing(func() { s.send(pubrec(1)) })
		s.isClosed()
		if !reconnect {
			r.pass(2 * time.Second)
			r.restart()
		}
		r.start(kept("s")).is("connack 0 present", "pubrel 1")
	}
}

// A store that fails is called again a second later, not at once.
func TestProgressNotStored(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
	p.publish(0, 2)
	s.got()
	r.failing(func() { s.send(puback(1)) })
	require.False(t, s.closed)
	require.Len(t, r.waiting("s"), 2)
	r.pass(2 * time.Second)
	require.Len(t, r.waiting("s"), 1)
}

// Positions of failed batches stay empty, wherever they are.
func TestFailedBatchesInAQueue(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Window, o.FetchMax = 2, 3 })
	s := r.subscribed(kept("s"), 1, "t")
	for round := range 3 {
		p := r.connect(connect("p"))
		for i := range 30 {
			fails := i%3 == round || i > 25
			if fails {
				r.fail = errDisk
			}
			p.send(pub(1, 1, "t", strconv.Itoa(i)))
			if r.fail = nil; fails {
				p.isClosed()
				p = r.connect(connect("p"))
			} else {
				p.is("puback 1")
			}
		}
		if round == 1 {
			s.cut()
			s = r.connect(kept("s"))
		}
		var got []string
		for list := s.got(); len(list) > 0; list = s.got() {
			got = append(got, list...)
			for _, x := range list {
				var name, q string
				var id int
				_, err := fmt.Sscanf(x, "%s %s #%d", &name, &q, &id)
				require.NoError(t, err)
				s.send(puback(packet.ID(id)))
			}
		}
		want := 0
		for i := range 26 {
			if i%3 != round {
				require.Contains(t, got[want], fmt.Sprintf("t=%d ", i))
				want++
			}
		}
		require.Len(t, got, want)
	}
}

// Messages that retention has removed leave gaps, of any size.
func TestExpired(t *testing.T) {
	for name, c := range map[string]struct {
		from, to uint64
		want     int
	}{
		"the first":  {0, 5, 15},
		"some":       {5, 10, 15},
		"the newest": {15, 20, 15},
		"all":        {0, 20, 0},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, func(o *core.Options) { o.FetchMax = 3 })
				s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
				s.cut()
				p.publish(0, 20)
				r.disk.expire("s", c.from, c.to)
				if restart {
					r.restart()
					p = r.connect(connect("p"))
				}
				s = r.connect(kept("s"))
				require.Len(t, s.got(), c.want)
				p.publish(20, 1)
				s.is(messages(20, 1, 20, "")...)
				for id := range packet.ID(22) {
					if id > 0 {
						s.send(puback(id))
					}
				}
				r.pass(settling)
				require.EqualValues(t, 21, r.disk.head("s"))
			})
		}
	}
}

// A gap that is larger than the packet ids waits until what is before it is acknowledged.
func TestHugeGap(t *testing.T) {
	for name, x := range map[string]struct {
		ack  packet.Generic
		qos  packet.QOS
		want []string
	}{
		"sent":     {nil, 1, []string{"t=0 q1 #1 dup"}},
		"released": {pubrec(1), 2, []string{"pubrel 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s, p := r.subscribed(kept("s"), 2, "t"), r.connect(connect("p"))
			p.send(pub(1, x.qos, "t", "0"))
			s.got()
			if x.ack != nil {
				s.send(x.ack)
				s.is("pubrel 1")
			}
			s.cut()
			d := r.disk.sessions[r.disk.number("s")]
			last := record.Entry{Position: 140000, QOS: 1, Message: &record.Message{Topic: "t", Payload: []byte("x")}}
			d.entries[last.Position], d.Tail = last, last.Position+1
			r.restart()
			s = r.start(kept("s"))
			s.is(append([]string{"connack 0 present"}, x.want...)...)
			s.send(puback(1), pubcomp(1))
			s.is(fmt.Sprintf("t=x q1 #%d", 140000%65535+1))
		})
	}
}

// Reads that fail are repeated; those of an earlier connection, and what is not known to be stored, are ignored.
func TestReads(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.FetchMax = 4 })
	s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
	s.cut()
	p.publish(0, 6)
	r.failRead = errDisk
	s = r.connect(kept("s"))
	s.is()
	r.pass(3 * time.Second)
	s.is()
	r.failRead = nil
	r.pass(time.Second)
	s.is(messages(0, 6, 0, "")...)

	r.holdRead = true
	r.connect(kept("s"))
	require.Len(t, r.loads, 1)
	s = r.connect(kept("s"))
	require.Len(t, r.loads, 2)
	p.publish(6, 1) // while the session reads
	r.hold()
	p.send(pub(1, 1, "t", "7"))
	r.disk.apply(t, r.writing.Records.Data) // written, and visible
	r.loads[1].Max = 100
	r.holdRead = false
	r.run()
	s.is(append(messages(0, 6, 0, " dup"), messages(6, 1, 6, "")...)...)
	r.release()
	s.is(messages(7, 1, 7, "")...)
}

// An unacknowledged message, or PUBREL, is sent again after Retry; or on the next connection.
func TestRetry(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *core.Options) { o.Retry = 10 * time.Second })
			s, p := r.subscribed(x("s"), 2, "t"), r.connect(connect("p"))
			p.send(pub(1, 1, "t", "m"), pub(2, 2, "t", "n"))
			s.is("t=m q1 #1", "t=n q2 #2")
			s.send(pubrec(2))
			s.is("pubrel 2")
			r.pass(9 * time.Second)
			s.is()
			r.pass(time.Second)
			s.is("t=m q1 #1 dup", "pubrel 2")
			require.EqualValues(t, 1, r.Stats().Repeated)
			s.send(puback(1), pubcomp(2))
			r.pass(time.Hour)
			s.is()
			require.True(t, r.NextTick().IsZero())
		})
	}
}

// At QueueMax messages are dropped and counted; the publisher and other sessions do not notice.
func TestQueueMax(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.QueueMax = 5 })
	d, s := r.subscribed(kept("d"), 1, "t"), r.subscribed(connect("s"), 1, "t")
	d.cut()
	p := r.connect(connect("p"))
	p.publish(0, 12)
	s.is(messages(0, 5, 0, "")...)
	require.EqualValues(t, 14, r.Stats().QueueFull)
	require.Len(t, r.waiting("d"), 5)
	d = r.connect(kept("d"))
	d.is(messages(0, 5, 0, "")...)
	d.send(puback(1), puback(2))
	p.publish(12, 3)
	d.is(messages(12, 2, 5, "")...)
}
