package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// A subscriber with a clean session that never acknowledges, of any size of message, has no more than its limit in
// memory; a neighbour of the same user gets all.
func TestMemoryOfClientThatDoesNotAcknowledge(t *testing.T) {
	for _, size := range []int{10, 1000, 30000} {
		for _, qos := range []packet.QOS{1, 2} {
			t.Run(fmt.Sprint(size, qos), func(t *testing.T) {
				r := limited(t, budget.Values{budget.Memory: 1 << 20}, budget.Values{budget.Memory: 200 << 10},
					func(o *core.Options) { o.QueueMax = 1_000_000 })
				s := r.subscribed(connect("s"), qos, "t")
				good := r.subscribed(connect("good"), 1, "t")
				p := r.connect(connect("p"))
				for i := range 200 {
					p.send(pub(packet.ID(i+1), 1, "t", strings.Repeat("x", size)))
					require.Equal(t, fmt.Sprint("puback ", i+1), p.next())
					for _, x := range good.got() {
						good.send(puback(packet.ID(i + 1)))
						require.Contains(t, x, "t=x")
					}
					require.LessOrEqual(t, r.used(budget.Memory), int64(200<<10))
				}
				if size >= 1000 {
					require.Positive(t, r.usage("u", budget.Memory).Refused)
					require.Equal(t, r.usage("u", budget.Memory).Refused, r.Stats().OverBudget)
				}
				s.cut()
				require.Zero(t, r.used(budget.Memory))
			})
		}
	}
}

// 25 clients that read nothing have no more together than their user may.
func TestMemoryOfClientsThatDoNotRead(t *testing.T) {
	const limit = 2 << 20
	for _, qos := range []packet.QOS{0, 1, 2} {
		t.Run(fmt.Sprint(qos), func(t *testing.T) {
			r := limited(t, budget.Values{budget.Memory: limit}, budget.Values{budget.Memory: limit / 4})
			for i := range 25 {
				x := connect(fmt.Sprint("s", i))
				if i%2 > 0 {
					x = kept(x.ClientID)
				}
				r.subscribed(x, qos, "t/#").slow = true
			}
			p := r.connect(of("v", connect("p")))
			for i := range 400 {
				p.send(pub(packet.ID(i+1), qos, "t/"+fmt.Sprint(i%7), strings.Repeat("x", 1+i*60)))
				if qos == 2 {
					p.send(pubrel(packet.ID(i + 1)))
				}
				require.LessOrEqual(t, r.used(budget.Memory), int64(limit))
				r.pass(time.Second)
			}
			if qos > 0 {
				require.NotEmpty(t, p.got())
			}
			require.False(t, p.closed)
			require.Positive(t, r.used(budget.Memory))
			for _, p := range r.peers {
				p.read()
			}
			for _, p := range r.peers {
				p.cut()
			}
			require.Zero(t, r.used(budget.Memory))
		})
	}
}

// Kept sessions that get no memory get their messages later, all and in order.
func TestMemoryDelaysKeptSessions(t *testing.T) {
	r := limited(t, budget.Values{budget.Memory: 100 << 10}, budget.Values{budget.Memory: 30 << 10})
	var list []*peer
	for i := range 10 {
		list = append(list, r.subscribed(kept(fmt.Sprint("s", i)), 1, "t"))
	}
	p := r.connect(of("v", connect("p")))
	for i := range 100 {
		p.send(pub(packet.ID(i+1), 1, "t", fmt.Sprint(i, " ", kilobyte)))
	}
	require.Len(t, p.got(), 100)
	next := make([]int, len(list))
	for range 300 {
		for i, s := range list {
			for x := s.frame(); x != nil; x = s.frame() {
				m := x.(*packet.Publish)
				require.Equal(t, fmt.Sprint(next[i], " ", kilobyte), string(m.Message.Payload))
				next[i]++
				s.send(puback(m.ID))
			}
		}
		r.pass(time.Second)
	}
	for i := range list {
		require.Equal(t, 100, next[i])
	}
	require.Zero(t, r.used(budget.Memory))
	require.Zero(t, r.used(budget.Disk))
}

// Publishers wait while the disk is slow, and all that they have sent is stored in the end.
func TestMemoryOfPublishers(t *testing.T) {
	const limit = 600 << 10
	r := limited(t, budget.Values{budget.Memory: limit}, budget.Values{})
	r.subscribed(kept("s"), 1, "t").cut()
	var list []*peer
	for i := range 50 {
		list = append(list, r.connect(connect(fmt.Sprint("p", i))))
	}
	r.hold()
	for i, p := range list {
		for id := range packet.ID(20) {
			p.send(pub(id+1, packet.QOS(1+i%2), "t", strings.Repeat("x", 5000)))
		}
		require.LessOrEqual(t, r.used(budget.Memory), int64(limit))
	}
	require.Greater(t, r.used(budget.Memory), int64(limit)/2)
	r.release()
	for range 100 {
		r.pass(time.Second)
	}
	for _, p := range list {
		require.Len(t, p.got(), 20)
		require.False(t, p.closed)
	}
	require.Len(t, r.waiting("s"), 1000)
	require.Zero(t, r.used(budget.Memory))
}

// Packets that never come as a whole hold no more than the user may have; others of the user wait, and others do not.
func TestMemoryOfHalfPackets(t *testing.T) {
	r := limited(t, budget.Values{budget.Memory: 300 << 10}, budget.Values{})
	whole := encode(t, pub(1, 1, "t", strings.Repeat("x", 20000)))
	var list []*peer
	for i := range 20 {
		p := r.connect(connect(fmt.Sprint("p", i)))
		p.raw(whole[:10])
		list = append(list, p)
	}
	require.LessOrEqual(t, r.used(budget.Memory), int64(300<<10))
	v := r.connect(of("v", connect("v")))
	v.raw(whole[:10])
	v.raw(whole[10:])
	v.is("puback 1")
	for _, p := range list {
		p.raw(whole[10:])
	}
	r.pass(time.Second)
	for _, p := range list {
		p.is("puback 1")
	}
	for _, p := range list {
		p.raw(whole[:10])
		p.cut()
	}
	require.Zero(t, r.used(budget.Memory))
}

// A client that sends QoS 2 messages and releases none is closed when its user has no memory for their ids.
func TestMemoryOfExchanges(t *testing.T) {
	r := limited(t, budget.Values{budget.Memory: 100 << 10}, budget.Values{})
	p := r.connect(kept("p"))
	for id := packet.ID(1); id < 65535 && !p.closed; id++ {
		p.send(pub(id, 2, "t", "x"))
	}
	require.True(t, p.closed)
	require.LessOrEqual(t, len(p.got()), 900)
	require.LessOrEqual(t, r.used(budget.Memory), int64(100<<10))
	r.restart()
	require.Positive(t, r.used(budget.Memory))
	p = r.connect(kept("p"))
	for id := packet.ID(1); id < 900; id++ {
		p.send(pubrel(id))
	}
	require.Zero(t, r.used(budget.Memory))
}

// What connections remember of many topics, and their wills, count.
func TestMemoryOfTopicsAndWills(t *testing.T) {
	r := limited(t, budget.Values{budget.Memory: 200 << 10}, budget.Values{})
	for i := range 40 {
		r.subscribed(connect(fmt.Sprint("s", i)), 0, "#")
	}
	for i := range 10 {
		p := r.connect(connect(fmt.Sprint("p", i)))
		for j := range 300 {
			p.send(pub(0, 0, fmt.Sprint("topic/", j), "x"))
		}
		p.send(pub(1, 1, "t", "x"))
		p.is("puback 1")
		require.LessOrEqual(t, r.used(budget.Memory), int64(200<<10))
	}
	refused := 0
	for i := range 20 {
		w := packet.Message{Topic: "w", Payload: []byte(strings.Repeat("x", 20000))}
		if r.start(willed(connect(fmt.Sprint("w", i)), w)).next() == "connack 3" {
			refused++
		}
	}
	require.Positive(t, refused)
	require.Zero(t, r.Stats().Unstored)
}

// What is remembered of acknowledgements out of order counts while the client is away, and after a restart.
func TestMemoryOfMarks(t *testing.T) {
	for _, qos := range []packet.QOS{1, 2} {
		r := limited(t, budget.Values{budget.Memory: 200 << 10}, budget.Values{}, func(o *core.Options) { o.QueueMax = 1e6 })
		p := r.connect(of("v", connect("p")))
		for i := range 8 {
			id := fmt.Sprint("s", i)
			s := r.subscribed(kept(id), qos, "t/"+id)
			for n := range 1500 {
				p.send(pub(packet.ID(n+1), qos, "t/"+id, "x"), pubrel(packet.ID(n+1)))
				for x := s.frame(); x != nil; x = s.frame() {
					if m, ok := x.(*packet.Publish); ok && n > 0 { // the first one keeps all others
						s.send([]packet.Generic{puback(m.ID), pubrec(m.ID)}[qos-1])
					} else if m, ok := x.(*packet.Pubrel); ok {
						s.send(pubcomp(m.ID))
					}
				}
			}
			r.pass(time.Second)
			s.cut()
			require.LessOrEqual(t, r.used(budget.Memory), int64(200<<10))
		}
		before := r.used(budget.Memory)
		require.Greater(t, before, int64(30<<10))
		r.restart()
		require.InDelta(t, before, r.used(budget.Memory), 20<<10)
		for i := range 8 {
			s := r.connect(kept(fmt.Sprint("s", i)))
			s.cut()
			r.connect(connect(fmt.Sprint("s", i))).cut()
		}
		require.Zero(t, r.used(budget.Memory))
	}
}
