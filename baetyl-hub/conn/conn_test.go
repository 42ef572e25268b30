package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// both runs a test over a pipe and over TCP, which is written to in another way.
func both(t *testing.T, test func(t *testing.T, dial func(*rig) *peer)) {
	t.Run("pipe", func(t *testing.T) { test(t, (*rig).pipe) })
	t.Run("tcp", func(t *testing.T) { test(t, (*rig).tcp) })
}

func TestEachQuality(t *testing.T) {
	both(t, func(t *testing.T, dial func(*rig) *peer) {
		g := newRig(t)
		p := dial(g).login("p", false).sub("t", 2)
		by := dial(g).login("by", true)
		for i := range 3 {
			qos := packet.QOS(i)
			by.send(publish(packet.ID(i), []byte{'0' + byte(i)}, qos))
			switch qos {
			case 1:
				by.expect(&packet.Puback{ID: 1})
			case 2:
				by.expect(&packet.Pubrec{ID: 2})
				by.send(&packet.Pubrel{ID: 2})
				by.expect(&packet.Pubcomp{ID: 2})
			}
			m := p.recv().(*packet.Publish)
			require.Equal(t, []byte{'0' + byte(i)}, m.Message.Payload)
			require.Equal(t, qos, m.Message.QOS)
			if qos == 1 {
				p.send(&packet.Puback{ID: m.ID})
			}
		}
	})
}

// Packets that come in any pieces, larger than the buffers, arrive as they were.
func TestPieces(t *testing.T) {
	g := newRig(t)
	p := g.tcp().login("p", true).sub("t", 0)
	by := g.tcp().login("by", true)
	for _, size := range []int{0, 1, 400, 500, 520, 5000, 64 << 10, 65 << 10, 300 << 10} {
		payload := bytes.Repeat([]byte{byte(size)}, size)
		x := publish(0, payload, 0)
		b := make([]byte, x.Len())
		_, err := x.Encode(b)
		require.NoError(t, err)
		for _, piece := range []int{1, 3, 700, len(b)} {
			if len(b)/piece > 3000 {
				continue
			}
			for rest := b; len(rest) > 0; {
				n, err := by.conn.Write(rest[:min(piece, len(rest))])
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.True(t, bytes.Equal(payload, p.recv().(*packet.Publish).Message.Payload))
		}
	}
}

// What the client sends behind CONNECT, without waiting for CONNACK, is handled after it. [MQTT-3.1.4-5]
func TestPacketsBehindConnect(t *testing.T) {
	g := newRig(t)
	release := g.store.hold()
	p := g.tcp()
	p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "p", Version: 4}, packet.NewPingreq(),
		publish(1, nil, 1))
	g.storing()
	release()
	p.expect(&packet.Connack{})
	p.expect(packet.NewPingresp())
	p.expect(&packet.Puback{ID: 1})
}

// An answer that refuses CONNECT arrives before the end.
func TestRefused(t *testing.T) {
	both(t, func(t *testing.T, dial func(*rig) *peer) {
		g := newRig(t)
		p := dial(g)
		p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "wrong", Version: 4})
		p.expect(&packet.Connack{ReturnCode: packet.BadUsernameOrPassword})
		p.end()
		require.EqualValues(t, 1, g.Stats().Refused)
		eventually(t, "no connection", func() bool { return g.Stats().Connections == 0 })
	})
}

// Bytes that are no packet close their connection, and no other.
func TestMalformed(t *testing.T) {
	g := newRig(t)
	other := g.tcp().login("other", true)
	for _, data := range [][]byte{
		{0x30, 0xff, 0xff, 0xff, 0xff, 1}, {0x30, 0xff, 0xff, 0xff, 0x7f}, {0, 0}, {0xc0, 1, 0}, {0x40, 2, 0, 0}, {0x30, 0},
	} {
		for _, p := range []*peer{g.tcp(), g.tcp().login("p", true)} {
			_, err := p.conn.Write(data)
			require.NoError(t, err)
			p.end()
		}
	}
	other.send(packet.NewPingreq())
	other.expect(packet.NewPingresp())
	eventually(t, "the others' end", func() bool { return g.Stats().Connections == 1 })
}

// fill publishes until the socket of a peer that does not read takes no more.
func (g *rig) fill(by *peer) {
	g.t.Helper()
	payload := make([]byte, 100<<10)
	for i := 0; g.Stats().Dropped == 0; i++ {
		require.Less(g.t, i, 1000)
		by.send(publish(0, payload, 0), packet.NewPingreq())
		by.expect(packet.NewPingresp())
	}
}

// A client that reads nothing delays neither others, nor the one that takes over its session, nor the end.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, dial func(*rig) *peer) {
		g := newRig(t)
		dial(g).login("slow", false).sub("t", 0)
		by := g.tcp().login("by", true)
		g.fill(by)
		next := g.tcp()
		next.send(&packet.Connect{ClientID: "slow", Username: "u", Password: "p", Version: 4})
		next.expect(&packet.Connack{SessionPresent: true})
		begin := time.Now()
		g.fill(by) // next does not read either
		g.stop()
		require.Less(t, time.Since(begin), limit)
		by.end()
	})
}

// A publisher whose only receiver is congested waits for it, and goes on when it reads. Nothing is lost.
func TestCongestedReceiver(t *testing.T) {
	both(t, func(t *testing.T, dial func(*rig) *peer) {
		g := newRig(t)
		p := dial(g).login("p", true).sub("t", 0)
		by := g.tcp().login("by", true)
		const count = 2000
		done := make(chan error, 1)
		go func() {
			var list []packet.Generic
			for i := range count {
				if list = append(list, publish(0, []byte(fmt.Sprintf("%04d%s", i, make([]byte, 1000))), 0)); len(list) == 50 {
					if err := by.trySend(list...); err != nil {
						done <- err
						return
					}
					list = nil
				}
			}
			done <- nil
		}()
		for i := range count {
			require.Equal(t, fmt.Sprintf("%04d", i), string(p.recv().(*packet.Publish).Message.Payload[:4]))
		}
		require.NoError(t, <-done)
	})
}

// A connection that is paused, because the store does not get on, ends when the hub stops, or a new one takes over.
func TestEndWhilePaused(t *testing.T) {
	g := newRig(t, func(o *options) { o.core.Ingress = 5 })
	g.tcp().login("keep", false).sub("t", 1)
	p := g.tcp().login("p", true)
	by := g.tcp().login("by", true)
	release := g.store.hold()
	by.send(publish(1, nil, 1)) // whoever reads it may also write it: not the connection that is to be paused
	g.storing()
	var list []packet.Generic // more than the hub takes before they are stored
	for i := range 50 {
		list = append(list, publish(packet.ID(i+1), nil, 1))
	}
	p.send(list...)
	eventually(t, "the pause", func() bool { return g.Stats().Received == 6 })
	q := g.tcp()
	q.send(&packet.Connect{ClientID: "p", CleanSession: true, Username: "u", Password: "p", Version: 4})
	p.end()
	q.expect(&packet.Connack{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Close()
	}()
	q.end()
	release()
	<-ended
}

// If the store fails, the publisher's connection is closed without PUBACK, and others live.
func TestStoreFails(t *testing.T) {
	g := newRig(t)
	other := g.tcp().login("other", false).sub("t", 1)
	g.store.set(func() { g.store.err = errors.New("disk failed") })
	for i := range 20 {
		p := g.tcp().login(fmt.Sprint("p", i), true)
		for id := range 1 + i {
			_ = p.trySend(publish(packet.ID(id+1), nil, 1))
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(limit))
		_, err := p.in.Read()
		require.Error(t, err)
		p.end()
	}
	other.send(packet.NewPingreq())
	other.expect(packet.NewPingresp())
	g.store.set(func() { g.store.err = nil })
	p := g.tcp().login("p", true)
	p.send(publish(1, []byte("m"), 1))
	p.expect(&packet.Puback{ID: 1})
	require.Equal(t, "m", string(other.recv().(*packet.Publish).Message.Payload))
}

// CONNACK has code 3 if the hub can't store a session. One that is not kept needs no store.
func TestServerUnavailable(t *testing.T) {
	g := newRig(t)
	g.store.set(func() { g.store.err = errors.New("disk failed") })
	p := g.tcp()
	p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "p", Version: 4})
	p.expect(&packet.Connack{ReturnCode: packet.ServerUnavailable})
	p.end()
	eventually(t, "no session left", func() bool { return g.Stats().Sessions == 0 })
	g.tcp().login("p", true)
}

// Batches are written by readers and by Run, one at a time, and the order of a publisher is kept.
func TestOneWriter(t *testing.T) {
	g := newRig(t, func(o *options) { o.core.QueueMax = 10000 })
	p := g.tcp().login("p", false).sub("t", 1)
	const publishers, count = 8, 300
	for n := range publishers {
		by := g.tcp().login(fmt.Sprint("by", n), true)
		go func() {
			for i := range count {
				if by.trySend(publish(1, []byte{byte(n), byte(i >> 8), byte(i)}, 1)) != nil {
					return
				}
				if i%7 != 0 {
					if _, err := by.in.Read(); err != nil {
						return
					}
				}
			}
			for { // until the end of the test
				if _, err := by.in.Read(); err != nil {
					return
				}
			}
		}()
	}
	next := make([]int, publishers)
	for range publishers * count {
		m := p.recv().(*packet.Publish)
		n, i := int(m.Message.Payload[0]), int(m.Message.Payload[1])<<8|int(m.Message.Payload[2])
		require.Equal(t, next[n], i, "dropped: %d", g.Stats().QueueFull)
		next[n]++
		p.send(&packet.Puback{ID: m.ID})
	}
	require.Equal(t, 1, g.store.get(func() int { return g.store.most }))
}

// The hub's end does not wait for clients one after the other, and writes what is to be stored.
func TestStopWithMany(t *testing.T) {
	before := runtime.NumGoroutine()
	g := newRig(t)
	by := g.tcp().login("by", true)
	for i := range 100 {
		dial := g.pipe
		if i%2 == 0 {
			dial = g.tcp
		}
		dial().login(fmt.Sprint("p", i), i%3 == 0).sub("t", packet.QOS(i%3))
	}
	for i := range 10 {
		by.send(publish(packet.ID(i+1), make([]byte, 100<<10), 1))
	}
	begin := time.Now()
	g.stop()
	require.Less(t, time.Since(begin), limit)
	require.Zero(t, g.Stats().Connections)
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
	hub, c := net.Pipe()
	g.Serve(hub, nil)
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.EqualValues(t, 1, g.Stats().Rejected)
}

// Connections that come and go leave no goroutine behind.
func TestComeAndGo(t *testing.T) {
	g := newRig(t)
	stay := g.tcp().login("stay", false).sub("#", 1)
	before := runtime.NumGoroutine()
	for i := range 300 {
		dial := g.tcp
		if i%3 == 0 {
			dial = g.pipe
		}
		p := dial()
		if i%5 != 0 {
			p.login(fmt.Sprint("p", i%7), i%2 == 0)
			p.send(publish(1, []byte("m"), packet.QOS(i%3)))
		}
		_ = p.conn.Close()
	}
	eventually(t, "the end of all connections", func() bool { return g.Stats().Connections == 1 })
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
	stay.send(packet.NewPingreq())
	for {
		if _, pong := stay.recv().(*packet.Pingresp); pong {
			break
		}
	}
}
