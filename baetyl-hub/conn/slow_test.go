package conn_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/certtest"
	"github.com/baetyl/baetyl/internal/linetest"
	"github.com/baetyl/baetyl/utils/stall"
)

// far connects over a line.
func (g *rig) far(rate int) *peer {
	hub, c := net.Pipe()
	p := g.serve(hub, c)
	l := linetest.Line{Conn: c, Rate: rate}
	return &peer{p.t, l, packet.NewDecoder(bufio.NewReader(l))}
}

// patient has the limits of the default configuration.
func patient(o *options) {
	o.core.PacketMax, o.conn.PacketMax = 4<<20, 4<<20
	o.core.EgressBytes = 10 << 20
	o.core.Retry, o.conn.WriteTimeout = 20*time.Second, 30*time.Second
}

func keepAlive(id string, seconds uint16) *packet.Connect {
	return &packet.Connect{ClientID: id, CleanSession: true, Username: "u", Password: "p", Version: 4, KeepAlive: seconds}
}

// A client on a slow line gets all that waits for it once, on one connection, and answers to its pings meanwhile.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, patient)
		p := g.far(30 << 10)
		p.send(keepAlive("far", 10))
		p.expect(&packet.Connack{})
		p.sub("t", 1)
		const n = 200
		by := g.pipe().login("by", true)
		for i := range packet.ID(n) {
			by.send(publish(i+1, fmt.Appendf(nil, "%03d%s", i, make([]byte, 20<<10)), 1))
			by.expect(&packet.Puback{ID: i + 1})
		}
		var mu sync.Mutex
		var asked time.Time
		end := make(chan struct{})
		var pings sync.WaitGroup
		pings.Go(func() {
			tick := time.NewTicker(10 * time.Second)
			defer tick.Stop()
			for {
				select {
				case <-end:
					return
				case <-tick.C:
					mu.Lock()
					asked = time.Now()
					mu.Unlock()
					_ = p.trySend(packet.NewPingreq())
				}
			}
		})
		answers := 0
		for i := 0; i < n; {
			switch x := p.recv().(type) {
			case *packet.Publish:
				require.Equal(t, fmt.Sprintf("%03d", i), string(x.Message.Payload[:3]))
				require.False(t, x.Dup)
				p.send(&packet.Puback{ID: x.ID})
				i++
			case *packet.Pingresp:
				mu.Lock()
				require.Less(t, time.Since(asked), 5*time.Second)
				mu.Unlock()
				answers++
			}
		}
		close(end)
		pings.Wait()
		require.Greater(t, answers, 10)
		require.Zero(t, g.Stats().Repeated)
		g.stop()
	})
}

// pings sends a ping every 10 s, n times, while the test reads.
func (p *peer) pings(n int) (wait func()) {
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for range n {
			time.Sleep(10 * time.Second)
			_ = p.trySend(packet.NewPingreq())
		}
	})
	return tasks.Wait
}

// A large message passes a slow line in both directions, although it takes longer than keep-alive and write timeout.
func TestLargeMessageOverSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, patient)
		p := g.far(20 << 10)
		p.send(keepAlive("far", 10))
		p.expect(&packet.Connack{})
		p.sub("t", 1)
		began := time.Now()
		p.send(publish(7, make([]byte, 3<<20), 1))
		require.Greater(t, time.Since(began), 150*time.Second)
		p.expect(&packet.Puback{ID: 7})
		defer p.pings(15)()
		x := p.recv().(*packet.Publish)
		require.False(t, x.Dup)
		require.Greater(t, time.Since(began), 300*time.Second)
		p.send(&packet.Puback{ID: x.ID})
		p.expect(packet.NewPingresp())
		require.Zero(t, g.Stats().Repeated)
		_ = p.conn.Close()
		g.stop()
	})
}

// Under TLS it is bytes that count too, not records.
func TestSlowRecords(t *testing.T) {
	set := certtest.New(t)
	pair, err := tls.LoadX509KeyPair(set.Server.Cert, set.Server.Key)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, patient)
		hub, c := net.Pipe()
		whole := &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}, DynamicRecordSizingDisabled: true,
		}
		secret := tls.Client(linetest.Line{Conn: c, Rate: 200}, whole)
		ready := make(chan struct{})
		go func() { defer close(ready); require.NoError(t, secret.Handshake()) }()
		s := tls.Server(stall.New(hub), whole)
		require.NoError(t, s.Handshake())
		<-ready
		g.serve(s, c)
		p := &peer{t, secret, packet.NewDecoder(bufio.NewReader(secret))}
		p.send(keepAlive("far", 10))
		p.expect(&packet.Connack{})
		p.sub("t", 1)
		began := time.Now()
		p.send(publish(7, make([]byte, 20<<10), 1)) // more than a minute for a record
		require.Greater(t, time.Since(began), 100*time.Second)
		defer p.pings(10)()
		p.expect(&packet.Puback{ID: 7})
		require.Equal(t, packet.PUBLISH, p.recv().Type())
		_ = c.Close()
		g.stop()
	})
}

// Time in which the hub does not read from a client, since the store does not get on, does not count as its silence.
func TestKeepAliveWhilePaused(t *testing.T) {
	g := newRig(t, func(o *options) { o.core.Ingress = 5 })
	g.tcp().login("keep", false).sub("t", 1)
	p := g.tcp()
	p.send(keepAlive("p", 1))
	p.expect(&packet.Connack{})
	clock := g.tcp()
	clock.send(keepAlive("clock", 1))
	clock.expect(&packet.Connack{})
	release := sync.OnceFunc(g.store.hold())
	defer release()
	const n = 50
	for i := range packet.ID(n) {
		p.send(publish(i+1, nil, 1))
	}
	p.send(packet.NewPingreq())
	g.storing()
	clock.end() // p has been silent for as long, as far as the hub knows
	late := g.tcp()
	late.send(keepAlive("late", 1))
	late.expect(&packet.Connack{})
	late.end()
	release()
	for range n + 1 {
		require.Contains(t, []packet.Type{packet.PUBACK, packet.PINGRESP}, p.recv().Type())
	}
}
