package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// manyRetained has more retained messages than one event sends.
func manyRetained(t *testing.T) (r *rig, p *peer) {
	r = newRig(t)
	p = r.connect(connect("p"))
	for i := range 600 {
		p.send(retained(1, 1, fmt.Sprintf("r/%03d", i), "old"))
	}
	p.got()
	return r, p
}

// drain takes and acknowledges what comes, and counts it. An event of the core sends only some.
func drain(r *rig, s *peer, seen map[string]int) {
	for n := 0; n < 3; n++ {
		for {
			x, ok := s.frame().(*packet.Publish)
			if !ok {
				break
			}
			n = 0
			seen[x.Message.Topic+"="+string(x.Message.Payload)]++
			if x.Message.QOS == 1 {
				s.send(puback(x.ID))
			}
		}
		r.pass(time.Millisecond)
	}
}

// Many retained messages come in parts: others go on meanwhile, and what the client sends waits.
func TestManyRetained(t *testing.T) {
	for name, x := range sessions {
		for qos := range packet.QOS(2) {
			t.Run(fmt.Sprintf("%s, QoS %d", name, qos), func(t *testing.T) {
				r, p := manyRetained(t)
				s := r.subscribed(x("s"), qos, "r/#")
				s.send(packet.NewPingreq())
				require.NotContains(t, s.got(), "pingresp")
				p.send(retained(1, 1, "r/599", "new"), retained(2, 1, "r/598", ""), pub(3, 1, "r/new", "new"))
				p.is("puback 1", "puback 2", "puback 3")
				for range 5 {
					r.pass(time.Millisecond)
				}
				s.send(packet.NewPingreq())
				s.cut()
				seen := map[string]int{}
				again := r.connect(x("s"))
				if x("s").CleanSession || qos == 0 {
					again.send(sub(1, qos, "r/#"))
					again.next()
					drain(r, again, seen)
					require.Equal(t, 599, len(seen))
					require.Zero(t, seen["r/599=old"])
				} else { // with one that removes another; the old ones of these two may have come before
					drain(r, again, seen)
					require.Equal(t, 601+seen["r/598=old"]+seen["r/599=old"], len(seen))
				}
				require.Equal(t, 1, seen["r/599=new"])
				for m, n := range seen {
					require.Equal(t, 1, n, m)
				}
			})
		}
	}
}

// A filter that is not permitted any more brings no further ones.
func TestManyRetainedForbidden(t *testing.T) {
	r, _ := manyRetained(t)
	s := r.subscribed(kept("s"), 1, "r/#")
	s.cut()
	r.SetUsers(book(t, permit("u", all, []string{"x"})))
	for range 5 {
		r.pass(time.Millisecond)
	}
	require.Len(t, r.waiting("s"), 256)
}
