package conformance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// flood is many PUBLISH packets.
func flood(qos packet.QOS, n int, payload string) (list []packet.Generic) {
	for i := range n {
		x := &packet.Publish{Message: message("t", fmt.Sprint(i, payload), qos)}
		if qos > 0 {
			x.ID = packet.ID(i + 1)
		}
		list = append(list, x)
	}
	return list
}

// Who publishes QoS 1 and 2 faster than allowed gets PUBACK later, loses nothing, and its PINGREQ is answered at once.
// Others do not feel it.
func TestPublishRate(t *testing.T) {
	t.Parallel()
	for _, qos := range []packet.QOS{1, 2} {
		b := start(t, anyone+"limits: {client: {publish: {rate: 50}}}")
		s := b.keep("s")
		s.sub(qos, "#")
		fast := b.clean("fast")
		began := time.Now()
		fast.send(append(flood(qos, 100, ""), packet.NewPingreq(), packet.NewDisconnect())...)
		b.clean("other").pub("other", "x", 0)
		acks, pong := 0, 0
		for {
			x, err := fast.read()
			if err != nil {
				break // after DISCONNECT, which comes after the messages
			}
			if acks++; x.Type() == packet.PINGRESP {
				pong = acks
			}
		}
		require.Positive(t, pong)
		require.Less(t, pong, acks-40)
		require.GreaterOrEqual(t, time.Since(began), time.Second-50*time.Millisecond)
		for i := 0; i < 100; {
			if m := s.take(); m.Message.Topic == "other" {
				require.Less(t, i, 100)
			} else {
				require.Equal(t, fmt.Sprint(i), string(m.Message.Payload))
				i++
			}
		}
		require.Positive(t, b.stat("publish_slowed"))
		require.Zero(t, b.stat("dropped_publish_rate"))
	}
}

// QoS 0 messages over the rate of a principal are dropped, whichever of its clients sends them, and counted.
func TestPublishRateOfAPrincipal(t *testing.T) {
	t.Parallel()
	b := start(t, strings.Replace(anyone, "- username: ann\n", "- username: ann\n  limits: {publish: {rate: 10}}\n", 1))
	s := b.clean("s")
	s.sub(0, "shared")
	for i := range 20 {
		b.login(as("ann", fmt.Sprint(i), true)).pub("shared", "ann", 0)
	}
	b.clean("by").pub("shared", "end", 0)
	n := int64(0)
	for s.take().Message.Topic == "shared" {
		if n++; n+b.stat("dropped_publish_rate") == 21 {
			break
		}
	}
	require.GreaterOrEqual(t, b.stat("dropped_publish_rate"), int64(1))
}

// While the hub does not read from a client that is too fast, its keep-alive does not count.
func TestKeepAliveOfASlowedClient(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"limits: {client: {publish: {bytes: 40k}}}")
	c := hello("c", true)
	c.KeepAlive = 1
	p := b.login(c)
	p.send(flood(1, 16, strings.Repeat("x", 10<<10))...)
	for i := range 16 {
		p.expect(&packet.Puback{ID: packet.ID(i + 1)})
	}
	p.quiet()
	p.bye()
}

// A message that has become too old in the queue of a clean session is not delivered.
func TestExpiredInMemory(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+`
message:
  ingress: {qos1: {cleanup: {retention: 1s}}}
  egress: {qos1: {buffer: {size: 1}}}
`)
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		p.sub(1, "t")
		by := b.clean("by")
		by.pub("t", "first", 1)
		m := p.next()
		before := b.stat("dropped_expired")
		for range 3 {
			by.pub("t", "old", 1)
		}
		stored := time.Now()
		eventually(t, "the end of their time", func() bool { return time.Since(stored) > 2*time.Second })
		by.pub("t", "young", 1)
		p.ack(m)
		p.want("t", "young", 1)
		require.Greater(t, b.stat("dropped_expired"), before) // those of a kept session that are on the disk count later
		p.bye()
	}
}

// A kept session that nobody uses is removed, also when that goes on over a restart of the hub.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	const yml = anyone + "session: {expiry: 2s}\n"
	dir := t.TempDir()
	b := startIn(t, dir, yml)
	here := b.keep("here")
	p := b.keep("p")
	p.sub(1, "t")
	p.bye()
	here.pub("t", "waits", 1)
	_, present := b.session(hello("p", false))
	require.True(t, present)
	b.stop()
	b = startIn(t, dir, yml)
	here = b.keep("here")
	eventually(t, "the removal", func() bool { return b.stat("sessions_expired") == 1 })
	_, present = b.session(hello("p", false))
	require.False(t, present)
	here.quiet()
	_, present = b.session(hello("here", false))
	require.True(t, present)
}
