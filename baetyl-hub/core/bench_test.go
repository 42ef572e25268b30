package core_test

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// loop drives a core without a disk: each batch is stored at once.
type loop struct {
	*core.Core
	fx   core.Effects
	sent func(cl *core.Client, data []byte)
}

func newLoop(b *testing.B) *loop {
	o := options()
	o.Ingress, o.EgressQOS0, o.Window, o.QueueMax = 1000, 10000, 1000, 1<<30
	l := &loop{Core: core.New(o, book(b, permit("u", all, all)))}
	l.At(time.Unix(1e9, 0))
	l.Room(1 << 62)
	return l
}

func (l *loop) client(b *testing.B, x *packet.Connect, first ...packet.Generic) *core.Client {
	b.Helper()
	cl := core.NewClient(&peer{})
	l.Open(cl)
	l.Connect(cl, x, book(b, permit("u", all, all)).User("u"))
	l.run()
	for _, p := range first {
		l.Receive(cl, encode(b, p))
		l.run()
	}
	return cl
}

func (l *loop) run() {
	for {
		l.Effects(&l.fx)
		for _, x := range l.fx.Send {
			if l.sent != nil {
				l.sent(x.Client, x.Data)
			}
			l.Written(x.Client)
		}
		b := l.Batch()
		if b != nil {
			for l.Stored(b, nil) {
			}
		}
		if b == nil && len(l.fx.Send) == 0 {
			return
		}
	}
}

// One message of QoS 1, from PUBLISH over the store to the acknowledgement of the subscriber; a number at a time.
func BenchmarkQOS1(b *testing.B) {
	for name, n := range map[string]int{"window 1": 1, "window 20": 20, "window 500": 500} {
		b.Run(name, func(b *testing.B) {
			l := newLoop(b)
			s, p := l.client(b, kept("s"), sub(1, 1, "t")), l.client(b, connect("p"))
			var burst []packet.Generic
			for i := range n {
				burst = append(burst, pub(packet.ID(i+1), 1, "t", string(make([]byte, 100))))
			}
			data := encode(b, burst...)
			var acks []byte
			got := 0
			l.sent = func(cl *core.Client, data []byte) {
				for cl == s && len(data) > 0 {
					acks = append(acks, 0x40, 2, data[5], data[6]) // of a packet with topic t
					n, _ := core.PacketSize(data, 1<<20)
					data = data[n:]
					got++
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + n - 1) / n {
				l.Receive(p, data)
				l.run()
				l.Receive(s, acks)
				acks = acks[:0]
			}
			l.run()
			if got < b.N {
				b.Fatalf("%d of %d messages", got, b.N)
			}
		})
	}
}

// One QoS 0 message to one subscriber, 100 in a read.
func BenchmarkQOS0(b *testing.B) {
	l := newLoop(b)
	l.client(b, connect("s"), sub(1, 0, "t"))
	p := l.client(b, connect("p"))
	var burst []packet.Generic
	for range 100 {
		burst = append(burst, pub(0, 0, "t", string(make([]byte, 100))))
	}
	data := encode(b, burst...)
	b.ReportAllocs()
	b.ResetTimer()
	for range (b.N + 99) / 100 {
		l.Receive(p, data)
		l.run()
	}
	if l.Stats().Dropped > 0 {
		b.Fatal("dropped")
	}
}
