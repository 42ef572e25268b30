package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// What a connected client sends never makes the hub panic, and leaves no part of a packet behind.
func FuzzReceive(f *testing.F) {
	f.Add(encode(f, pub(1, 1, "t", "m"), pub(2, 2, "t", "m"), pubrel(2), pub(0, 0, "t", "m")), byte(1))
	f.Add(encode(f, sub(1, 1, "t", "$share/g/t"), unsub(2, "t"), retained(3, 1, "t", "m"), packet.NewPingreq()), byte(7))
	f.Add(encode(f, puback(1), pubrec(2), pubcomp(2), pubrel(3), connect("a"), packet.NewDisconnect()), byte(9))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff}, byte(2))
	f.Add([]byte{0xa2, 5, 0, 1, 0, 9, 'a'}, byte(3))
	f.Fuzz(func(t *testing.T, b []byte, how byte) {
		r := newRig(t, func(o *core.Options) { o.Ingress, o.Window, o.EgressQOS0, o.PacketMax = 2, 2, 16, 1000 })
		p := r.subscribed(kept("p"), 2, "t", "#")
		if how&4 == 0 {
			p = r.subscribed(connect("p"), 2, "t", "#")
		}
		p.send(pub(1, 1, "t", "m"), pub(2, 2, "t", "m"), pub(3, 2, "t", "m"))
		p.got()
		if how&1 != 0 {
			r.hold()
		}
		for at := 0; at < len(b); at += 1 + int(how>>4) {
			p.raw(b[at:min(at+1+int(how>>4), len(b))])
		}
		if how&2 != 0 {
			r.fail = errDisk
		}
		r.release()
		if r.fail = nil; !p.ended {
			require.False(t, p.c.Paused())
			n, err := core.PacketSize(p.out, 1000)
			require.NoError(t, err)
			require.True(t, n == 0 || n > len(p.out), "a whole packet is left")
		}
		p.cut()
		r.restart()
		require.Contains(t, r.start(kept("p")).next(), "connack 0")
	})
}

func FuzzPacketSize(f *testing.F) {
	f.Add([]byte{0x30, 2, 0, 0}, 10)
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x01}, 1<<28)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 1<<30)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		n, err := core.PacketSize(b, limit)
		switch {
		case err != nil:
			require.Zero(t, n)
		case n == 0:
			require.Less(t, len(b), 5)
		default:
			require.GreaterOrEqual(t, n, 2)
			require.LessOrEqual(t, n, limit)
			if n <= len(b) { // gomqtt agrees
				size, kind := packet.DetectPacket(b)
				require.Equal(t, n, size)
				require.Equal(t, b[0]>>4, byte(kind))
			}
		}
	})
}
