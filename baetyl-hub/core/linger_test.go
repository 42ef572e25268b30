package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// While the disk hangs, what closed connections have left behind is bounded by their number: they count until it is
// stored.
func TestConnectionsCountUntilTheyAreStored(t *testing.T) {
	for name, leave := range map[string]func(r *rig, i int) (taken bool){
		"publishers": func(r *rig, i int) bool {
			p := r.start(connect(fmt.Sprint("c", i)))
			p.send(pub(1, 1, "t", "x"))
			return !p.closed
		},
		"takeovers by publishers": func(r *rig, _ int) bool {
			p := r.start(kept("same"))
			p.send(pub(1, 1, "t", "x"))
			return !p.closed
		},
		"subscribers": func(r *rig, i int) bool {
			r.start(kept("first"))
			p := r.start(connect(fmt.Sprint("c", i)))
			p.send(sub(1, 1, strings.Repeat("a", 200)))
			return !p.closed
		},
		"new sessions": func(r *rig, i int) bool { return !r.start(kept(fmt.Sprint("c", i))).closed },
	} {
		for limit, o := range map[string]core.Options{
			"user": {ConnectionsMax: 1000, Principal: budget.Values{budget.Connections: 20}}, "hub": {ConnectionsMax: 20},
		} {
			t.Run(name+" of the "+limit, func(t *testing.T) {
				r := newRig(t, func(x *core.Options) { x.ConnectionsMax, x.Principal = o.ConnectionsMax, o.Principal })
				r.connect(kept("same")).cut()
				d := r.subscribed(kept("d"), 1, "t")
				d.cut()
				r.hold()
				taken := 0
				for i := range 200 {
					if leave(r, i) {
						taken++
					}
					for _, p := range r.peers {
						p.cut()
					}
				}
				require.LessOrEqual(t, taken, 21)
				r.release()
				require.Zero(t, r.used(budget.Connections))
				for i := range 20 {
					require.False(t, r.start(connect(fmt.Sprint("n", i))).closed)
				}
			})
		}
	}
}

// Connections that wait for the session of another one, and leave, are forgotten at once.
func TestWaitersThatLeaveAreForgotten(t *testing.T) {
	r := newRig(t)
	r.hold()
	first := r.start(kept("a"))
	for range 1000 {
		r.start(willed(kept("a"), will("w"))).cut()
	}
	require.Less(t, r.used(budget.Memory), int64(1000))
	r.release()
	require.Equal(t, "connack 0", first.next())
	first.send(packet.NewPingreq())
	first.is("Pingresp")
}
