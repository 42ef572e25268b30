package conn_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
)

// half sends a CONNECT of a megabyte, but for its end, and returns that.
func (p *peer) half() (rest []byte) {
	p.t.Helper()
	x := connectAs("u", "p")
	x.Will = &packet.Message{Topic: "w", Payload: bytes.Repeat([]byte("w"), 60000)}
	x.Username, x.ClientID = "u", "half"
	b := make([]byte, x.Len())
	_, err := x.Encode(b)
	require.NoError(p.t, err)
	_, err = p.conn.Write(b[:10])
	require.NoError(p.t, err)
	return b[10:]
}

// CONNECTs that have not come as a whole have a limit together. Small ones pass, and what ends makes room.
func TestConnectsThatDoNotComeAreBounded(t *testing.T) {
	const size = 128 << 10 // what each needs, about; an eighth is left to others
	g := newRig(t, func(o *options) {
		o.core.PacketMax, o.conn.PacketMax = 64<<10, 64<<10
		o.core.Hub = budget.Values{budget.Memory: 16 * size}
	})
	var held []*peer
	var rests [][]byte
	for range 3 {
		p, before := g.tcp(), g.Stats().Unchecked
		rests = append(rests, p.half())
		held = append(held, p)
		eventually(t, "its memory", func() bool { return g.Stats().Unchecked > before })
	}
	over := g.tcp()
	over.half()
	over.end()
	require.EqualValues(t, 1, g.Stats().Crowded)
	g.tcp().login("small", true)
	_, err := held[0].conn.Write(rests[0])
	require.NoError(t, err)
	held[0].expect(&packet.Connack{})
	for _, p := range held[1:] {
		_ = p.conn.Close()
	}
	eventually(t, "no memory", func() bool { return g.Stats().Unchecked == 0 })
	p := g.tcp()
	_, err = p.conn.Write(append(rests[0][:0:0], p.half()...))
	require.NoError(t, err)
	p.expect(&packet.Connack{})
	require.EqualValues(t, 1, g.Stats().Crowded)
}

// Logins that wait for their answer have no large buffer each, and what a client sends behind its CONNECT counts.
func TestLoginsThatWaitAreSmall(t *testing.T) {
	const n = 300
	g := newRig(t, func(o *options) {
		o.conn.LoginDelay = time.Hour
		o.core.Hub = budget.Values{budget.Memory: 64 << 20}
	})
	for range 20 {
		g.tcp().send(connectAs("u", "wrong"))
	}
	heap := live()
	list := make([]*peer, n)
	for i := range list {
		list[i] = g.tcp()
		list[i].send(connectAs("u", "wrong"))
	}
	eventually(t, "delays", func() bool { return g.Logins().Delayed >= n })
	require.Less(t, live()-heap, int64(n*40<<10), "bytes of %d logins that wait", n)
	p := g.tcp()
	p.send(connectAs("u", "wrong"), publish(1, []byte(strings.Repeat("x", 5000)), 1))
	eventually(t, "what it has sent counts", func() bool { return g.Stats().Unchecked > 60<<10 })
	runtime.KeepAlive(list)
}

func live() int64 {
	runtime.GC()
	runtime.GC() // pools keep what they have for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
