package core_test

import (
	"fmt"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// Messages that wait on the disk count by their share, and those over the limit are not queued.
func TestDisk(t *testing.T) {
	const limit = 100 << 10
	for name, x := range map[string][2]budget.Values{
		"principal": {{budget.Disk: limit}, {}},
		"client":    {{}, {budget.Disk: limit}},
	} {
		t.Run(name, func(t *testing.T) {
			r := limited(t, x[0], x[1])
			v := permit("v", all, all)
			v.Limits.Queued.Disk = 1 << 30
			r.users = book(t, permit("u", all, all), v)
			r.SetUsers(r.users)
			s := r.subscribed(kept("s"), 1, "t")
			s.cut()
			p := r.connect(of("v", connect("p")))
			for i := range 500 {
				p.send(pub(packet.ID(i+1), 1, "t", fmt.Sprint(i, kilobyte)))
			}
			require.Len(t, p.got(), 500)
			n := len(r.waiting("s"))
			require.InDelta(t, limit/1040, n, 10)
			require.EqualValues(t, 500-n, r.usage("u", budget.Disk).Refused)

			// What is acknowledged makes room; all that was queued comes in order.
			s = r.connect(kept("s"))
			for i := 0; i < n; i++ {
				m, ok := s.frame().(*packet.Publish)
				require.True(t, ok, i)
				require.Equal(t, fmt.Sprint(i, kilobyte), string(m.Message.Payload))
				s.send(puback(m.ID))
			}
			require.Zero(t, r.used(budget.Disk))
			p.send(pub(1, 1, "t", "last"))
			require.Contains(t, s.next(), "t=last")
		})
	}
}

// What waits counts after a restart, until it is discarded.
func TestDiskAfterRestart(t *testing.T) {
	r := limited(t, budget.Values{budget.Disk: 1 << 20}, budget.Values{})
	r.subscribed(kept("s"), 1, "t").cut()
	r.connect(connect("p")).send(pub(1, 1, "t", "x"))
	r.disk.sessions[1].Bytes = 5000
	r.restart()
	require.EqualValues(t, 5000, r.used(budget.Disk))
	r.connect(connect("s"))
	require.Zero(t, r.used(budget.Disk))
}

// Sessions share what a message takes that all of them need.
func TestDiskIsShared(t *testing.T) {
	r := limited(t, budget.Values{budget.Disk: 1 << 20}, budget.Values{})
	for i := range 50 {
		r.subscribed(kept(fmt.Sprint("s", i)), 1, "t").cut()
	}
	p := r.connect(connect("p"))
	for i := range 500 {
		p.send(pub(packet.ID(i+1), 1, "t", kilobyte))
	}
	require.InDelta(t, 500*1000, r.used(budget.Disk), 50*1000)
	require.Zero(t, r.Stats().OverBudget)
	for i := range 50 {
		s := r.connect(kept(fmt.Sprint("s", i)))
		for n := 1; s.frame() != nil; n++ {
			s.send(puback(packet.ID(n)))
		}
	}
	require.Zero(t, r.used(budget.Disk))
}

// Where little is left of the disk, who has most of it gets no more; what others send and get is not refused for that.
func TestGreedyPrincipal(t *testing.T) {
	r := limited(t, budget.Values{budget.Disk: 150 << 10}, budget.Values{})
	r.users = book(t, permit("u", all, all), permit("v", all, all))
	r.SetUsers(r.users)
	r.subscribed(kept("much"), 1, "#").cut()
	p := r.connect(of("v", connect("p")))
	for i := range 100 {
		p.send(pub(packet.ID(i+1), 1, "t", kilobyte))
	}
	require.Len(t, p.got(), 100)
	require.Len(t, r.waiting("much"), 100)

	r.room = 8 << 10
	r.Room(r.room)
	other := of("v", kept("little"))
	r.subscribed(other, 1, "t").cut()
	p.send(pub(1, 1, "t", "x"), pub(2, 1, "only much", kilobyte))
	require.ElementsMatch(t, []string{"puback 1", "puback 2"}, p.got())
	require.Len(t, r.waiting("much"), 100)
	require.Len(t, r.waiting("little"), 1)
	require.EqualValues(t, 2, r.usage("u", budget.Disk).Refused)
	require.Zero(t, r.Stats().Full)

	r.room = 1 << 20
	r.Room(r.room)
	p.send(pub(3, 1, "t", "x"))
	require.Len(t, r.waiting("much"), 101)
}
