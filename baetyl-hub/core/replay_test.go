package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// many retains n messages at a QoS, with topics r/0, r/1 and so on.
func many(r *rig, n int, qos packet.QOS) *peer {
	p := r.connect(connect("many"))
	for i := range n {
		p.send(retained(packet.ID(i%1000+1), qos, fmt.Sprint("r/", i), "m"), pubrel(packet.ID(i%1000+1)))
	}
	return p
}

// Many more retained messages than a connection may have waiting reach a subscriber that reads slowly, each once.
// Others
// get their turn meanwhile.
func TestRetainedInPortions(t *testing.T) {
	for name, x := range sessions {
		for _, qos := range []packet.QOS{0, 1} {
			t.Run(name+" at QoS "+qos2s(qos), func(t *testing.T) {
				const n = 3000
				r := newRig(t, func(o *core.Options) { o.EgressQOS0, o.EgressBytes, o.QueueMax = 100, 4096, 300 })
				many(r, n, 1)
				s := r.connect(x("s"))
				s.slow = true
				s.send(sub(1, qos, "#", "r/+"))
				require.Less(t, r.Stats().Sent+r.Stats().Passed, uint64(300))
				seen := map[string]int{}
				for range 20 * n {
					if s.open != nil {
						s.take()
					}
					r.run()
					r.pass(0)
					for x := s.frame(); x != nil; x = s.frame() {
						if p, ok := x.(*packet.Publish); ok {
							require.True(t, p.Message.Retain)
							seen[p.Message.Topic]++
							if p.ID != 0 {
								s.send(puback(p.ID))
							}
						}
					}
					if len(seen) == n && s.open == nil {
						break
					}
				}
				require.Len(t, seen, n)
				for name, times := range seen {
					require.Equal(t, 1, times, name)
				}
				require.Zero(t, r.Stats().Dropped+r.Stats().QueueFull)
			})
		}
	}
}

// What a session has been sent of the retained messages, and waits for its acknowledgement, does not come once more
// when
// it subscribes again, nor what was published while it was away.
func TestNoSecondCopyOfWhatWaits(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		p := many(r, 10, 1)
		s := r.connect(kept("s"))
		s.send(sub(1, 1, "#"))
		require.Len(t, s.got(), 11)
		s.cut()
		p.send(retained(1, 1, "r/3", "new"), retained(2, 1, "late", "x"))
		p.send(retained(3, 1, "r/4", ""), pub(4, 1, "r/5", "other"))
		if restart {
			r.restart()
		}
		for range 3 { // it acknowledges nothing
			s = r.start(kept("s"))
			s.send(sub(1, 1, "#"))
			r.pass(0)
			got := strings.Join(s.got(), "\n")
			for i := range 10 {
				want := 1
				if i == 3 || i == 4 || i == 5 { // the one before waits too
					want = 2
				}
				require.Equal(t, want, strings.Count(got, fmt.Sprintf("r/%d=", i)), "%d in %s", i, got)
			}
			require.Equal(t, 1, strings.Count(got, "late=x"), got)
			require.Len(t, r.waiting("s"), 14)
			s.cut()
		}
		s = r.connect(kept("s"))
		for x := s.frame(); x != nil; x = s.frame() {
			if p, ok := x.(*packet.Publish); ok {
				s.send(puback(p.ID))
			}
		}
		s.send(sub(1, 1, "#")) // nothing waits: all come again [MQTT-3.8.4-3]
		require.Len(t, s.got(), 11)
	}
}

// A connection ends before it has all retained messages: the next one gets the others, or all.
func TestRetainedOverTwoConnections(t *testing.T) {
	const n = 1000
	r := newRig(t)
	many(r, n, 1)
	s := r.connect(kept("s"))
	s.send(sub(1, 1, "r/#"))
	seen := map[string]bool{}
	for i := 0; len(seen) < n; i++ {
		require.Less(t, i, 100*n)
		if i == 150 {
			s.cut()
			s = r.connect(kept("s"))
		}
		if x, ok := s.frame().(*packet.Publish); ok {
			seen[x.Message.Topic] = true
			s.send(puback(x.ID))
		}
		r.pass(0)
	}
	s.send(unsub(2, "r/#"), sub(3, 0, "none"))
	require.Contains(t, s.got(), "unsuback 2")
}
