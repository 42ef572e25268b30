package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// leave connects with a will of so many bytes and breaks the connection. It tells whether the hub took the CONNECT.
func (r *rig) leave(id string, size int) bool {
	r.t.Helper()
	p := r.start(willed(connect(id), will(strings.Repeat("w", size))))
	taken := p.next() == "connack 0"
	p.cut()
	return taken
}

// A client that leaves will after will, each under a new id, cannot make the hub keep more than its user's account has,
// whatever holds up the store: a will belongs to the account until it is stored or deleted.
func TestWillsAreChargedUntilTheyAreStored(t *testing.T) {
	for name, x := range map[string]struct {
		size          int
		begin, relent func(r *rig)
	}{
		"no room, small wills": {10, func(r *rig) { r.room = 0; r.run() }, func(r *rig) { r.room = 1 << 62 }},
		"no room":              {20 << 10, func(r *rig) { r.room = 0; r.run() }, func(r *rig) { r.room = 1 << 62 }},
		"failing disk":         {10, func(r *rig) {}, func(r *rig) { r.fail = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := limited(t, budget.Values{budget.Memory: 512 << 10}, budget.Values{})
			d := r.subscribed(user("v", kept("s")), 1, "w")
			x.begin(r)
			taken, refused := 0, 0
			for i := 0; refused < 10 && i < 5000; i++ {
				if name == "failing disk" {
					p := r.start(willed(connect(fmt.Sprint("c", i)), will(strings.Repeat("w", x.size))))
					ok := p.next() == "connack 0"
					r.fail = errDisk
					p.cut()
					r.fail = nil
					if ok {
						taken++
					} else {
						refused++
					}
					continue
				}
				if r.leave(fmt.Sprint("c", i), x.size) {
					taken++
				} else {
					refused++
				}
			}
			require.Equal(t, 10, refused, "each CONNECT was taken, %d of them", taken)
			require.NotZero(t, taken)
			require.LessOrEqual(t, r.used(budget.Memory), int64(512<<10))
			require.NotZero(t, r.usage("u", budget.Memory).Refused)
			r.connect(user("v", willed(connect("other"), will("x")))).send(packet.NewDisconnect())
			x.relent(r)
			for n := 0; len(r.disk.wills) > 0 && n < 60; n++ {
				r.pass(time.Second)
				for _, line := range d.got() {
					var id packet.ID
					_, _ = fmt.Sscanf(line[strings.LastIndex(line, "#")+1:], "%d", &id)
					d.send(puback(id))
				}
			}
			require.Empty(t, r.disk.wills)
			require.Zero(t, r.used(budget.Memory))
			require.True(t, r.leave("again", x.size))
		})
	}
}

// Wills that the store had at the start count too, until they are published or void.
func TestWillsOfAnEarlierLifeAreCharged(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.connect(willed(connect(fmt.Sprint("c", i)), will(strings.Repeat("w", 1000))))
	}
	r.restart()
	require.Greater(t, r.used(budget.Memory), int64(10*1000))
	r.connect(connect("c0")).send(packet.NewDisconnect())
	r.pass(11 * time.Second)
	require.Zero(t, r.used(budget.Memory))
}
