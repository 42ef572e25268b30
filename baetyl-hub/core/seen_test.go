package core_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// live is how many bytes are in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

const backlogged = 900

// behind returns a client with a backlog of retained messages, for which each SUBSCRIBE has to wait.
func behind(r *rig) *peer {
	r.t.Helper()
	r.subscribed(kept("s"), 1, "r/#").cut()
	p := r.connect(connect("p"))
	for i := range backlogged {
		p.send(retained(packet.ID(i+1), 1, fmt.Sprintf("r/%d", i), "v"))
		p.got()
	}
	return r.connect(kept("s"))
}

// acknowledge takes n messages.
func (p *peer) acknowledge(n int) {
	p.r.t.Helper()
	for ; n > 0; n-- {
		m, ok := p.frame().(*packet.Publish)
		for ; !ok; m, ok = p.frame().(*packet.Publish) {
		}
		p.send(puback(m.ID))
	}
}

// What the hub remembers so that a retained message does not come twice is charged to the client, once for all its
// SUBSCRIBEs.
func TestWhatASessionHasSeenIsCharged(t *testing.T) {
	const subscribes, taken = 95, backlogged - 250
	r := limited(t, budget.Values{}, budget.Values{})
	s := behind(r)
	for i := range subscribes {
		s.send(sub(2, 1, fmt.Sprintf("r/%d", i)))
	}
	before, heap := r.used(budget.Memory), live()
	s.acknowledge(taken)
	grown := live() - heap
	require.Less(t, grown, int64(1<<20), "%d SUBSCRIBEs", subscribes)
	require.Greater(t, r.used(budget.Memory)-before, int64(taken)*50)
}

// Without memory for that, the client still gets everything, and some of it twice.
func TestSeenWithoutMemory(t *testing.T) {
	r := limited(t, budget.Values{budget.Memory: 8 << 10}, budget.Values{}, func(o *core.Options) { o.PacketMax = 512 })
	s := behind(r)
	s.send(sub(2, 1, "r/+"))
	got := map[string]bool{}
	for i := 0; len(got) < backlogged && i < 3*backlogged; {
		m, ok := s.frame().(*packet.Publish)
		if !ok {
			r.pass(1100e6)
			i++
			continue
		}
		got[m.Message.Topic] = true
		s.send(puback(m.ID))
	}
	require.Len(t, got, backlogged)
	require.False(t, s.closed)
}

// A SUBSCRIBE whose filters were nearly all subscribed again, or unsubscribed, leaves nothing behind but the others.
func TestReplacedFiltersLeaveNothing(t *testing.T) {
	for _, gone := range []bool{false, true} {
		replaced(t, gone)
	}
}

func replaced(t *testing.T, gone bool) {
	t.Helper()
	r := newRig(t, func(o *core.Options) { o.SubscriptionsMax = 1000 })
	s := behind(r)
	heap := live()
	for i := range 400 {
		list := []string{fmt.Sprint("r/only/", i)}
		for j := range 500 {
			name := fmt.Sprint("r/", j)
			if gone {
				name = fmt.Sprint("r/", i, "/", j)
			}
			list = append(list, name)
		}
		s.send(sub(2, 1, list...))
		if gone {
			s.send(unsub(3, list...))
		}
	}
	grown := live() - heap
	require.NotEmpty(t, s.got())
	require.Less(t, grown, int64(3<<20), "unsubscribed: %v", gone)
}
