//go:build linux

package hostile_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// attack is something that a client who may do everything can do. It ends with its context. That the hub refuses,
// closes or slows is what it should do, and ends no attack.
type attack struct {
	name string
	run  func(ctx context.Context, h *hub)
}

var attacks = []attack{
	{"subscribers that acknowledge nothing", func(ctx context.Context, h *hub) {
		many(ctx, 20, func(i int) {
			readers(ctx, h, fmt.Sprintf("mute%d", i), true, 1, (*line).drain)
		}, func() { flood(ctx, h, "mute", 1, 30_000) })
	}},
	{"subscribers that read nothing", func(ctx context.Context, h *hub) {
		many(ctx, 25, func(i int) {
			readers(ctx, h, fmt.Sprintf("deaf%d", i), true, packet.QOS(i%3), func(*line) { <-ctx.Done() })
		}, func() { flood(ctx, h, "deaf", 0, 30_000) }, func() { flood(ctx, h, "deaf", 1, 2000) })
	}},
	{"sessions that never come back", func(ctx context.Context, h *hub) {
		flooder := func() { flood(ctx, h, "gone", 1, 10_000) }
		many(ctx, 4, func(i int) {
			for n := 0; ctx.Err() == nil; n++ {
				visit(ctx, h, fmt.Sprintf("gone%d-%d", i, n), false, nil, func(l *line) {
					_ = l.send(subscribe("#", 1))
				})
			}
		}, flooder)
	}},
	{"retained messages", func(ctx context.Context, h *hub) {
		many(ctx, 4, func(i int) {
			flooding(ctx, h, 1, func(n int) *packet.Message {
				size := []int{1, 100, 30_000}[n%3]
				return &packet.Message{Topic: fmt.Sprintf("keep/%d/%d", i, n), Retain: true, Payload: make([]byte, size)}
			})
		})
	}},
	{"filters", func(ctx context.Context, h *hub) {
		many(ctx, 4, func(i int) {
			n := 0
			for ctx.Err() == nil {
				visit(ctx, h, "", true, nil, func(l *line) {
					go l.drain()
					for ctx.Err() == nil {
						p := &packet.Subscribe{ID: packet.ID(n%60000 + 1)}
						for range 300 {
							n++
							p.Subscriptions = append(p.Subscriptions, packet.Subscription{Topic: fmt.Sprintf("+/%d/%d/+/#", i, n), QOS: 1})
						}
						if l.send(p) != nil {
							return
						}
					}
				})
			}
		})
	}},
	{"connections, some of them silent", func(ctx context.Context, h *hub) {
		many(ctx, 4, func(i int) {
			for n := 0; ctx.Err() == nil; n++ {
				if n%3 == 0 {
					if conn, err := net.DialTimeout("tcp", h.address, answerTimeout); err == nil {
						context.AfterFunc(ctx, func() { _ = conn.Close() })
						_, _ = conn.Write([]byte{0x10, 0xff, 0xff, 1, 0, 4, 'M', 'Q'}) // the beginning of a CONNECT of 32 KiB
					}
				} else if l, err := h.dial("bad", fmt.Sprintf("many%d-%d", i, n), true, nil); err == nil {
					l.closeWith(ctx)
				}
			}
		})
	}},
	{"wrong passwords", func(ctx context.Context, h *hub) {
		many(ctx, 40, func(i int) {
			for ctx.Err() == nil {
				if l, err := h.dial([]string{"hashed", "nobody"}[i%2], "x", true, nil); err == nil {
					l.close()
				}
			}
		})
	}},
	{"wills", func(ctx context.Context, h *hub) {
		go readers(ctx, h, "heir", true, 1, (*line).drain)
		many(ctx, 8, func(i int) {
			for n := 0; ctx.Err() == nil; n++ {
				will := &packet.Message{Topic: fmt.Sprintf("heir/%d", n), QOS: 1, Retain: n%2 == 0, Payload: make([]byte, 30_000)}
				visit(ctx, h, fmt.Sprintf("ill%d-%d", i, n%500), false, will, func(*line) {}) // without DISCONNECT
			}
		})
	}},
	{"half packets", func(ctx context.Context, h *hub) {
		many(ctx, 300, func(int) {
			for ctx.Err() == nil {
				visit(ctx, h, "", true, nil, func(l *line) {
					_, _ = l.conn.Write(append([]byte{0x30, 0xe0, 0xff, 1}, make([]byte, 20_000)...)) // of 32,736 bytes
					select {
					case <-time.After(time.Second):
					case <-ctx.Done():
					}
				})
			}
		})
	}},
	{"QoS 0 as fast as it goes", func(ctx context.Context, h *hub) {
		many(ctx, 3, func(int) { flood(ctx, h, "fast", 0, 64) }, func() { readers(ctx, h, "fast", true, 0, (*line).drain) })
	}},
	{"QoS 2 that is never released", func(ctx context.Context, h *hub) {
		many(ctx, 4, func(i int) {
			for n := 0; ctx.Err() == nil; n++ {
				visit(ctx, h, fmt.Sprintf("half%d-%d", i, n), false, nil, func(l *line) {
					go l.drain()
					for id := 1; id < 65535 && ctx.Err() == nil; id++ {
						m := packet.Message{Topic: "half", QOS: 2, Payload: make([]byte, 1000)}
						if l.send(&packet.Publish{ID: packet.ID(id), Message: m}) != nil {
							return
						}
					}
				})
			}
		})
	}},
	{"shared subscriptions that come and go", func(ctx context.Context, h *hub) {
		many(ctx, 20, func(i int) {
			for n := 0; ctx.Err() == nil; n++ {
				visit(ctx, h, fmt.Sprintf("share%d", i), i%2 == 0, nil, func(l *line) {
					_ = l.send(subscribe(fmt.Sprintf("$share/g%d/share", n%10), 1))
					_, _ = l.read()
					_, _ = l.read()
				})
			}
		}, func() { flood(ctx, h, "share", 1, 10_000) })
	}},
	{"topics that nobody has seen", func(ctx context.Context, h *hub) {
		many(ctx, 4, func(i int) {
			flooding(ctx, h, packet.QOS(i%3), func(n int) *packet.Message {
				return &packet.Message{Topic: fmt.Sprintf("new/%d/%d/%0200d", i, n, n), Payload: []byte("x")}
			})
		})
	}},
	{"random bytes", func(ctx context.Context, h *hub) {
		many(ctx, 8, func(i int) {
			rnd := rand.NewChaCha8([32]byte{byte(i)})
			for ctx.Err() == nil {
				visit(ctx, h, "", true, nil, func(l *line) {
					b := make([]byte, 4096)
					_, _ = rnd.Read(b)
					_, _ = l.conn.Write(b)
				})
			}
		})
	}},
	{"retained messages, asked for by many", func(ctx context.Context, h *hub) {
		many(ctx, 10, func(i int) {
			for ctx.Err() == nil {
				visit(ctx, h, fmt.Sprintf("ask%d", i), true, nil, func(l *line) {
					for range 20 {
						_ = l.send(subscribe("keep/#", packet.QOS(i%3)))
					}
					for range 1000 {
						if _, err := l.read(); err != nil {
							return
						}
					}
				})
			}
		})
	}},
}

// many runs f n times beside each other, and the others once, until all have returned.
func many(ctx context.Context, n int, f func(i int), others ...func()) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	for _, f := range others {
		all.Go(f)
	}
	all.Wait()
	<-ctx.Done()
}

// visit connects for as long as f takes. Who is refused comes again after a moment.
func visit(ctx context.Context, h *hub, id string, clean bool, will *packet.Message, f func(l *line)) {
	l, err := h.dial("bad", id, clean, will)
	if err != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
		return
	}
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	defer l.close()
	f(l)
}

// readers keeps a subscriber of everything below its name, less digits, there.
func readers(ctx context.Context, h *hub, id string, clean bool, qos packet.QOS, f func(l *line)) {
	topic := string(bytes.TrimRight([]byte(id), "0123456789")) + "/#"
	for ctx.Err() == nil {
		visit(ctx, h, id, clean, nil, func(l *line) {
			if l.send(subscribe(topic, qos)) == nil {
				f(l)
			}
		})
	}
}

func subscribe(filter string, qos packet.QOS) *packet.Subscribe {
	return &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: filter, QOS: qos}}}
}

// flood publishes to a topic as fast as the hub lets it.
func flood(ctx context.Context, h *hub, topic string, qos packet.QOS, size int) {
	flooding(ctx, h, qos, func(int) *packet.Message {
		return &packet.Message{Topic: topic + "/x", Payload: make([]byte, size)}
	})
}

// flooding publishes messages of one QoS as fast as the hub lets it. It waits for no acknowledgement.
func flooding(ctx context.Context, h *hub, qos packet.QOS, message func(n int) *packet.Message) {
	n := 0
	for ctx.Err() == nil {
		visit(ctx, h, "", true, nil, func(l *line) {
			go l.answer()
			for ctx.Err() == nil {
				n++
				m := message(n)
				m.QOS = qos
				p := &packet.Publish{Message: *m}
				if qos > 0 {
					p.ID = packet.ID(n%65535 + 1)
				}
				if l.send(p) != nil {
					return
				}
			}
		})
	}
}

// answer reads until the line ends, and releases messages of QoS 2.
func (l *line) answer() {
	for {
		x, err := l.read()
		if err != nil {
			return
		}
		if rec, ok := x.(*packet.Pubrec); ok {
			_ = l.send(&packet.Pubrel{ID: rec.ID})
		}
	}
}
