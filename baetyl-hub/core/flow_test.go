package core_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// A slow reader loses QoS 0 messages, which are counted. What it gets is in order. Others lose nothing.
func TestSlowReader(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.EgressQOS0 = 16 })
	slow, fast, p := r.subscribed(connect("slow"), 0, "t"), r.subscribed(connect("f"), 0, "t"), r.connect(connect("p"))
	slow.slow = true
	for i := range 100 {
		p.send(pub(0, 0, "t", string(rune('A'+i))))
	}
	require.Len(t, fast.got(), 100)
	require.EqualValues(t, 100-16-1, r.Stats().Dropped)
	require.EqualValues(t, 200, r.Stats().Passed)
	slow.read()
	got := slow.got()
	require.Len(t, got, 17) // one is in the socket
	require.IsIncreasing(t, got)
	p.send(pub(0, 0, "t", "end"))
	slow.is("t=end")
}

// The limit in bytes holds too, and messages of QoS 1 wait for a slow reader.
func TestSlowReaderBytes(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.EgressBytes, o.Window = 1000, 5 })
	slow, p := r.subscribed(kept("slow"), 1, "t", "big"), r.connect(connect("p"))
	slow.slow = true
	p.send(pub(0, 0, "t", "first"))
	for range 10 {
		p.send(pub(0, 0, "big", strings.Repeat("x", 300)))
	}
	p.publish(0, 20)
	require.EqualValues(t, 7, r.Stats().Dropped)
	slow.read()
	require.Equal(t, "t=first", slow.next())
	for range 3 {
		require.Contains(t, slow.next(), "big=xxx")
	}
	slow.is(messages(0, 5, 0, "")...)
}

// What a client sends in one piece is taken in turns, so that others get theirs: fewer packets the more they cost.
func TestQuantum(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ConnectionsMax = 1000 })
	p := r.connect(connect("p"))
	for i := range 200 {
		r.subscribed(connect(fmt.Sprint("s", i)), 0, "many")
	}
	for name, x := range map[string]struct {
		packet   packet.Generic
		all, one int // packets in a piece, and about how many of them a quantum has
	}{
		"QoS 0 to many":     {pub(0, 0, "many", "x"), 1000, 82},
		"retained, to many": {retained(0, 0, "many", "x"), 200, 11},
		"filters":           {sub(1, 0, strings.Split(strings.Repeat("f,", 511)+"f", ",")...), 20, 4},
	} {
		t.Run(name, func(t *testing.T) {
			one := encode(t, x.packet)
			data := bytes.Repeat(one, x.all)
			for shared, want := range map[bool]int{false: x.one, true: max(1, x.one/4)} {
				r.Share(shared)
				used := r.Receive(p.c, data)
				require.InDelta(t, want, used/len(one), float64(want)/5+1, "shared: %t", shared)
				require.Zero(t, used%len(one))
				r.run()
				p.got()
			}
		})
	}
}

// A reader for whom more waits than the hard limit is closed.
func TestHardLimit(t *testing.T) {
	for name, x := range sessions {
		r := newRig(t, func(o *core.Options) { o.EgressBytes, o.Window, o.PacketMax = 0, 1, 100; o.Retry = time.Second })
		slow := r.subscribed(x("slow"), 1, "t")
		slow.slow = true
		pings := bytes.Repeat([]byte{0xc0, 0}, 1<<15)
		for n := 0; !slow.closed; n++ {
			require.Less(t, n, 100, name)
			slow.raw(pings)
		}
		slow.read()
	}
}

// A publisher waits while all receivers of what it sends are congested, but not long for one that does not read.
func TestPublisherWaitsForReceivers(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.EgressQOS0 = 400 })
	slow, p := r.subscribed(connect("slow"), 0, "t"), r.connect(connect("p"))
	slow.slow = true
	var list []packet.Generic
	for range 250 {
		list = append(list, pub(0, 0, "t", strings.Repeat("x", 100)))
	}
	flood := encode(t, list...)
	p.raw(flood[:len(flood)/10])
	require.False(t, p.c.Paused())
	p.raw(flood)
	require.True(t, p.c.Paused())
	r.pass(500 * time.Millisecond)
	slow.read()
	require.False(t, p.c.Paused())
	// The time begins with the next wait.
	slow.slow = true
	p.raw(flood[:len(flood)/10])
	r.pass(400 * time.Millisecond)
	p.raw(flood)
	require.True(t, p.c.Paused())
	r.pass(500 * time.Millisecond)
	require.True(t, p.c.Paused())
	r.pass(200 * time.Millisecond)
	require.False(t, p.c.Paused())
	p.raw(flood)
	require.False(t, p.c.Paused(), "for a receiver that has not read for a second")
	require.NotZero(t, r.Stats().Dropped)
	slow.read()
	p.raw(flood)
	require.Zero(t, len(p.out))
	slow.slow = true
	p.raw(flood)
	p.raw(flood)
	require.True(t, p.c.Paused())
	slow.cut()
	require.False(t, p.c.Paused())
	require.Empty(t, p.out)
}

// Bursts of one topic, single messages and those of other quality keep their order.
func TestBurstsKeepOrder(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(connect("s"), 1, "#"), r.connect(connect("p"))
	p.send(pub(0, 0, "a", "1"), pub(0, 0, "a", "2"), pub(0, 0, "b", "3"), pub(1, 1, "a", "4"), pub(0, 0, "a", "5"),
		retained(0, 0, "a", "6"), pub(0, 0, "a", "7"), pub(0, 0, "a", "8"), packet.NewPingreq())
	p.is("puback 1", "Pingresp")
	s.is("a=1", "a=2", "b=3", "a=4 q1 #1", "a=5", "a=6", "a=7", "a=8")
	// A subscription in between takes effect.
	p.send(pub(0, 0, "a", "1"), sub(1, 0, "a"), pub(0, 0, "a", "2"), unsub(2, "a"), pub(0, 0, "a", "3"))
	p.is("suback 1 [0]", "a=6 retained", "a=2", "unsuback 2")
	s.is("a=1", "a=2", "a=3")
	require.EqualValues(t, 11, r.Stats().Received)
}

// Packets may come in pieces of any size.
func TestPacketsInPieces(t *testing.T) {
	r := newRig(t)
	s, p := r.subscribed(kept("s"), 1, "t"), r.connect(connect("p"))
	for _, b := range encode(t, pub(1, 1, "t", "m"), pub(0, 0, "t", "n"), packet.NewPingreq()) {
		p.raw([]byte{b})
	}
	p.is("puback 1", "Pingresp")
	s.is("t=m q1 #1", "t=n")
}

// What breaks the protocol closes the connection, after what came before was handled.
func TestViolations(t *testing.T) {
	for name, b := range map[string][]byte{
		"CONNECT":               encode(t, connect("p")),
		"CONNACK":               {0x20, 2, 0, 0},
		"type 0":                {0x00, 0},
		"type 15":               {0xf0, 0},
		"length of 5 bytes":     {0x30, 0xff, 0xff, 0xff, 0xff, 1},
		"too large":             {0x30, 0xff, 0xff, 0x7f},
		"PUBLISH without topic": {0x30, 0},
		"topic is cut off":      {0x30, 3, 0, 9, 'a'},
		"topic is empty":        {0x30, 3, 0, 0, 'a'},
		"topic with wildcard":   encode(t, pub(0, 0, "a/+", "m")),
		"topic of the server":   encode(t, pub(0, 0, "$SYS/a", "m")),
		"topic with U+0000":     {0x30, 4, 0, 2, 'a', 0},
		"topic is not UTF-8":    {0x30, 4, 0, 2, 'a', 0xff},
		"QoS 3":                 {0x36, 5, 0, 1, 'a', 0, 1},
		"id 0":                  {0x32, 5, 0, 1, 'a', 0, 0},
		"no id":                 {0x32, 4, 0, 1, 'a', 0},
		"PUBACK, flags":         {0x41, 2, 0, 1},
		"PUBREL, flags":         {0x60, 2, 0, 1},
		"PUBACK, length":        {0x40, 3, 0, 1, 0},
		"PUBACK, id 0":          {0x40, 2, 0, 0},
		"SUBSCRIBE, flags":      {0x80, 6, 0, 1, 0, 1, 'a', 0},
		"SUBSCRIBE, no filter":  {0x82, 2, 0, 1},
		"SUBSCRIBE, QoS 3":      {0x82, 6, 0, 1, 0, 1, 'a', 3},
		"SUBSCRIBE, not UTF-8":  {0x82, 6, 0, 1, 0, 1, 0xff, 0},
		"SUBSCRIBE, id 0":       {0x82, 6, 0, 0, 0, 1, 'a', 0},
		"UNSUBSCRIBE, none":     {0xa2, 2, 0, 1},
		"UNSUBSCRIBE, cut off":  {0xa2, 5, 0, 1, 0, 9, 'a'},
		"UNSUBSCRIBE, 1 byte":   {0xa2, 6, 0, 1, 0, 1, 'a', 0},
		"UNSUBSCRIBE, not text": {0xa2, 5, 0, 1, 0, 1, 0},
		"PINGREQ, length":       {0xc0, 1, 0},
		"DISCONNECT, flags":     {0xe1, 0},
	} {
		r := newRig(t)
		p := r.connect(connect("p"))
		p.raw(append(append([]byte{0xc0, 0}, b...), 0xc0, 0))
		require.True(t, p.closed, name)
		p.is("Pingresp")
	}
	r := newRig(t)
	p := r.connect(connect("p"))
	p.raw([]byte{0xa2, 11, 0, 1, 0, 1, 'a', 0, 1, 'b', 0, 1, 'c'}) // a list of short filters
	p.is("unsuback 1")
}
