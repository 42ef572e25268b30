package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// fetch lets the socket of a slow peer take one Send and returns its length.
func (p *peer) fetch() int {
	p.r.t.Helper()
	n := len(p.open)
	p.take()
	p.r.run()
	return n
}

// What a client waits for does not wait behind megabytes: it comes after a portion, in its order, and the rest too.
func TestAnswersPassBulk(t *testing.T) {
	r := newRig(t)
	slow, p := r.subscribed(connect("slow"), 0, "t"), r.connect(connect("p"))
	slow.slow = true
	slow.send(pub(1, 1, "other", "x"))
	const size, n = 20 << 10, 40
	bulk := strings.Repeat("x", size)
	for range n {
		p.send(pub(0, 0, "t", bulk))
	}
	slow.send(pub(2, 1, "other", "x"), packet.NewPingreq(), sub(3, 1, "new"), unsub(4, "new"), pub(5, 2, "other", "x"))
	require.Equal(t, 4, slow.fetch()) // puback 1 had found the socket free
	r.pass(time.Second)               // a slow line: portions stay small
	require.LessOrEqual(t, slow.fetch(), 64<<10+size)
	r.pass(time.Second)
	slow.fetch()
	var answers []string
	bulky := 0
	for _, x := range slow.got() {
		if strings.HasPrefix(x, "t=") {
			bulky++
			continue
		}
		answers = append(answers, x)
	}
	require.Equal(t, []string{"puback 1", "puback 2", "Pingresp", "suback 3 [1]", "unsuback 4", "pubrec 5"}, answers)
	require.Equal(t, 4, bulky)
	slow.send(pub(6, 1, "other", "x"))
	slow.read()
	got := slow.got()
	require.Equal(t, "puback 6", got[4])
	require.Len(t, got, n-bulky+1)
	require.Zero(t, r.Stats().Dropped)
}

// Answers that stand in front of what waits are not overtaken by later ones.
func TestAnswersKeepTheirOrder(t *testing.T) {
	r := newRig(t)
	slow, p := r.subscribed(connect("slow"), 0, "t"), r.connect(connect("p"))
	var want []string
	slow.slow = true
	p.send(pub(0, 0, "t", strings.Repeat("x", 10)))
	for id := packet.ID(1); id <= 100; id++ {
		slow.send(pub(id, 1, "other", "x"))
		p.send(pub(0, 0, "t", strings.Repeat("x", 2000)))
		if id%30 == 0 {
			slow.fetch()
		}
		want = append(want, text(&packet.Puback{ID: id}))
	}
	slow.read()
	var got []string
	for _, x := range slow.got() {
		if !strings.HasPrefix(x, "t=") {
			got = append(got, x)
		}
	}
	require.Equal(t, want, got)
}

// A message is repeated Options.Retry after the socket has taken it, not while it waits for a slow line.
func TestRetryBeginsWhenWritten(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *core.Options) { o.Retry = 10 * time.Second })
			s, p := r.subscribed(x("s"), 1, "t"), r.connect(connect("p"))
			s.slow = true
			const n = 20
			for i := range packet.ID(n) {
				p.send(pub(i+1, 1, "t", strings.Repeat("x", 20<<10)))
			}
			var got []packet.ID
			for s.open != nil { // some 64 KiB in 8 s
				r.pass(8 * time.Second)
				s.fetch()
				for x := s.frame(); x != nil; x = s.frame() {
					require.False(t, x.(*packet.Publish).Dup)
					got = append(got, x.(*packet.Publish).ID)
				}
				for len(got) > 1 && got[0] < n-1 { // the last two stay unanswered
					s.send(puback(got[0]))
					got = got[1:]
				}
			}
			require.Equal(t, []packet.ID{n - 1, n}, got)
			require.Zero(t, r.Stats().Repeated)
			s.slow = false
			r.pass(20 * time.Second)
			require.EqualValues(t, 2, r.Stats().Repeated)
			require.True(t, s.frame().(*packet.Publish).Dup)
		})
	}
}
