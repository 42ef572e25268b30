package conn_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/conn"
)

func TestKeepAlive(t *testing.T) {
	both(t, func(t *testing.T, dial func(*rig) *peer) {
		g := newRig(t)
		forever := dial(g).login("forever", true)
		p := dial(g)
		begin := time.Now()
		p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "p", Version: 4, KeepAlive: 1})
		p.expect(&packet.Connack{})
		p.end()
		require.Greater(t, time.Since(begin), time.Second) // 1.5 s after CONNECT [MQTT-3.1.2-24]
		forever.send(packet.NewPingreq())
		forever.expect(packet.NewPingresp())
	})
}

// A client that may be quiet for ever stays connected, and another one for its keep alive time and half of it.
// [MQTT-3.1.2-24]
func TestQuietClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		forever := g.pipe().login("forever", true)
		p := g.pipe()
		p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "p", Version: 4, KeepAlive: 3600})
		p.expect(&packet.Connack{})
		for range 3 {
			time.Sleep(5399 * time.Second)
			p.send(packet.NewPingreq())
			p.expect(packet.NewPingresp())
		}
		begin := time.Now()
		_ = p.conn.SetReadDeadline(time.Time{})
		_, err := p.in.Read()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 5400*time.Second, time.Since(begin))
		forever.send(packet.NewPingreq())
		forever.expect(packet.NewPingresp())
		g.stop()
	})
}

// A client that counts as idle now and then loses nothing, also when it does so in the middle of a packet, and its keep
// alive time holds.
func TestIdleClients(t *testing.T) {
	t.Cleanup(conn.SetIdleAfter(5 * time.Millisecond)) // runs after the end of the server
	g := newRig(t)
	forever := g.tcp().login("forever", true)
	p := g.tcp()
	p.send(&packet.Connect{ClientID: "p", Username: "u", Password: "p", Version: 4, KeepAlive: 3})
	p.expect(&packet.Connack{})
	x := publish(1, make([]byte, 600), 1)
	b := make([]byte, x.Len())
	_, err := x.Encode(b)
	require.NoError(t, err)
	pause := time.NewTicker(12 * time.Millisecond)
	defer pause.Stop()
	for _, cut := range []int{1, 2, 5, 9, 100, 520, len(b)} {
		for _, piece := range [][]byte{b[:cut], b[cut:]} {
			_, err := p.conn.Write(piece)
			require.NoError(t, err)
			<-pause.C
		}
		p.expect(&packet.Puback{ID: 1})
		<-pause.C
	}
	begin := time.Now()
	p.end()
	require.Greater(t, time.Since(begin), time.Second)
	forever.send(packet.NewPingreq())
	forever.expect(packet.NewPingresp())
}

func TestConnectTimeout(t *testing.T) {
	g := newRig(t, func(o *options) { o.conn.ConnectTimeout = 10 * time.Millisecond })
	g.tcp().end()
	eventually(t, "no connection", func() bool { return g.Stats().Connections == 0 })
	synctest.Test(t, func(t *testing.T) { // a busy machine might write the half packet later than the hub waits for it
		g := newRig(t, func(o *options) { o.conn.ConnectTimeout = 10 * time.Second })
		p := g.pipe()
		begin := time.Now()
		_, err := p.conn.Write([]byte{0x10, 20})
		require.NoError(t, err)
		p.end()
		require.Equal(t, 10*time.Second, time.Since(begin))
		g.stop()
	})
}

// A connection that reads nothing for the write timeout is closed. The time is that of a bubble: a busy machine might
// let the test wait for longer before it reads CONNACK.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(o *options) { o.conn.WriteTimeout = 10 * time.Second })
		p := g.pipe().login("p", true).sub("t", 0)
		by := g.pipe().login("by", true)
		by.send(publish(0, nil, 0))
		eventually(t, "the reader's end", func() bool { return g.Stats().Connections == 1 })
		p.end()
		g.stop()
	})
}
