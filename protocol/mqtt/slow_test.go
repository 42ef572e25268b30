package mqtt

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/linetest"
)

// far is a broker at the other end of a slow line. It answers CONNECT, pings and publications, and sends what is in
// out.
type far struct {
	conn  transport.Conn
	out   chan packet.Generic
	pings atomic.Int32
	ended sync.WaitGroup
}

// open connects a client with keep-alive 10 s and timeout 30 s over a line of rate bytes a second.
func open(t *testing.T, rate int, cfg ClientInfo) (*Client, *far) {
	t.Helper()
	here, there := net.Pipe()
	f := &far{conn: transport.NewNetConn(there), out: make(chan packet.Generic, 100)}
	f.ended.Go(f.answer)
	cfg.KeepAlive, cfg.Timeout = 10*time.Second, 30*time.Second
	c := newClient(cfg)
	n := c.watch(linetest.Line{Conn: here, Rate: rate})
	c.conn, c.raw = transport.NewNetConn(n), n
	require.NoError(t, c.open(context.Background(), nil))
	return c, f
}

func (f *far) answer() {
	gone := make(chan struct{})
	defer close(gone)
	f.ended.Go(func() { // the broker reads on while it writes
		for {
			select {
			case p := <-f.out:
				_ = f.conn.Send(p, false)
			case <-gone:
				return
			}
		}
	})
	for {
		p, err := f.conn.Receive()
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packet.Connect:
			f.out <- packet.NewConnack()
		case *packet.Pingreq:
			f.pings.Add(1)
			f.out <- packet.NewPingresp()
		case *packet.Publish:
			f.out <- &packet.Puback{ID: p.ID}
		}
	}
}

func large(id packet.ID, size int) *packet.Publish {
	return &packet.Publish{ID: id, Message: packet.Message{Topic: "t", Payload: make([]byte, size), QOS: 1}}
}

// A message that takes longer than timeout and keep-alive passes in both directions, and the broker hears pings.
func TestLargeMessageOverSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := open(t, 20<<10, ClientInfo{ClientID: "c"})
		came := make(chan packet.Generic, 10)
		var serve sync.WaitGroup
		serve.Go(func() { _ = c.Serve(func(p packet.Generic) error { came <- p; return nil }) })
		require.NoError(t, c.Send(large(1, 3<<20)))
		require.Equal(t, packet.PUBACK, (<-came).Type())
		time.Sleep(25 * time.Second) // the ping after it is answered
		before := f.pings.Load()
		require.GreaterOrEqual(t, before, int32(2))
		f.out <- large(2, 3<<20)
		require.Equal(t, packet.PUBLISH, (<-came).Type())
		require.Greater(t, f.pings.Load()-before, int32(10))
		require.NoError(t, c.Close())
		serve.Wait()
		f.ended.Wait()
		require.ErrorIs(t, c.cause, ErrClosed)
	})
}

// SUBACK may come behind what waits for the client, but it must come.
func TestSubackBehindBulk(t *testing.T) {
	cfg := ClientInfo{ClientID: "c", Subscriptions: []TopicInfo{{Topic: "t", QOS: 1}}}
	synctest.Test(t, func(t *testing.T) {
		c, f := open(t, 10<<10, cfg)
		var serve sync.WaitGroup
		var n int
		done := make(chan struct{})
		serve.Go(func() {
			_ = c.Serve(func(p packet.Generic) error {
				if n++; p.Type() == packet.SUBACK {
					close(done)
				}
				return nil
			})
		})
		for i := range packet.ID(40) { // 80 s
			f.out <- large(i+1, 20<<10)
		}
		f.out <- &packet.Suback{ID: subscribeID, ReturnCodes: []packet.QOS{1}}
		<-done
		require.Equal(t, 41, n)
		require.NoError(t, c.Close())
		serve.Wait()
		f.ended.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		c, f := open(t, 10<<10, cfg)
		began := time.Now()
		require.ErrorIs(t, c.Serve(func(packet.Generic) error { return nil }), ErrSubAck)
		require.InDelta(t, 30, time.Since(began).Seconds(), 1)
		f.ended.Wait()
	})
}

// A peer that takes nothing for the timeout loses the connection, although much is written.
func TestWriteThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := newClient(ClientInfo{ClientID: "c", Timeout: 30 * time.Second})
		n := c.watch(here)
		c.conn, c.raw = transport.NewNetConn(n), n
		c.line.SetWriteTimeout(c.cfg.Timeout)
		began := time.Now()
		require.Error(t, c.Send(large(1, 1<<20)))
		require.Equal(t, 30*time.Second, time.Since(began))
		_ = there.Close()
	})
}

// Much is written in portions, between which acknowledgements pass.
func TestOutboxPortions(t *testing.T) {
	o := newOutbox(20, 0, false)
	for range 5 {
		o.add(&publication{msg: Message{Topic: "t", Payload: make([]byte, 40<<10), QOS: 1}})
	}
	for _, want := range []int{2, 2, 1} {
		pkts, taken, _ := o.next(batch)
		require.Len(t, pkts, want)
		require.Equal(t, want, taken)
	}
	o.lost(false)
	for _, want := range []int{2, 2, 1} {
		pkts, _, _ := o.next(batch)
		require.Len(t, pkts, want)
	}
}
