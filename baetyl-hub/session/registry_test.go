package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/router"
	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/baetyl-hub/store/storetest"
	"github.com/baetyl/baetyl/baetyl-hub/topic"
	"github.com/baetyl/baetyl/utils/log"
)

// rig is a registry on a real store, which the test can block so that ops are in one batch. These tests are internal
// because they need that; all others are in ../conformance and use network connections.
type rig struct {
	*Registry
	t     *testing.T
	store *store.Store
	end   context.CancelFunc // ends the store
	ended chan error
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	g, err := openRig(t, store.Options{Dir: t.TempDir()}, change...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.close()) })
	return g
}

// openRig makes a rig on a store that may fail. The caller closes it.
func openRig(t *testing.T, on store.Options, change ...func(*Options)) (*rig, error) {
	t.Helper()
	st, err := store.Open(on)
	if err != nil {
		return nil, err
	}
	users, err := auth.New([]auth.Principal{{Username: "u", Password: "p", Permissions: []auth.Permission{
		{Action: "pub", Permit: []string{"#"}}, {Action: "sub", Permit: []string{"#"}},
	}}}, topic.DefaultLimits)
	require.NoError(t, err)
	o := Options{
		Log:              log.Discard(),
		Topic:            topic.DefaultLimits,
		ClientIDMax:      128,
		PacketMax:        32 << 10,
		ConnectTimeout:   10 * time.Second,
		WriteTimeout:     10 * time.Second,
		ConnectionsMax:   100,
		SubscriptionsMax: 100,
		Ingress:          100,
		EgressQOS0:       1000,
		EgressBytes:      1 << 20,
		Window:           100,
		QueueMax:         1000,
		FetchMax:         50,
	}
	for _, f := range change {
		f(&o)
	}
	rt := router.New(st)
	g := &rig{Registry: New(o, st, rt, users), t: t, store: st, ended: make(chan error, 1)}
	v, finish := g.Visitor()
	if err := st.Load(v); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	finish()
	var ctx context.Context
	ctx, g.end = context.WithCancel(context.Background())
	go func() { g.ended <- st.Run(ctx, rt.Flush) }()
	return g, nil
}

// close ends connections and store.
func (g *rig) close() error {
	g.Registry.Close()
	g.end()
	err := <-g.ended
	g.ended <- nil
	return errors.Join(err, g.store.Close())
}

// peer is the client's end of a connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *packet.Decoder
}

func (g *rig) dial() *peer {
	g.t.Helper()
	dir, err := os.MkdirTemp("", "hub") // not t.TempDir, whose names can be too long for a socket
	require.NoError(g.t, err)
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", filepath.Join(dir, "socket")) // tests of faults would use up all ports of tcp
	require.NoError(g.t, err)
	defer ln.Close()
	conn, err := net.Dial("unix", ln.Addr().String())
	require.NoError(g.t, err)
	hub, err := ln.Accept()
	require.NoError(g.t, err)
	go g.Serve(hub, nil) // Registry.Close waits for it
	g.t.Cleanup(func() { _ = conn.Close() })
	return &peer{g.t, conn, packet.NewDecoder(bufio.NewReader(conn))}
}

func (p *peer) send(list ...packet.Generic) {
	p.t.Helper()
	for _, x := range list {
		b := make([]byte, x.Len())
		_, err := x.Encode(b)
		require.NoError(p.t, err)
		_, err = p.conn.Write(b)
		require.NoError(p.t, err)
	}
}

func (p *peer) recv() packet.Generic {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	x, err := p.in.Read()
	require.NoError(p.t, err)
	return x
}

func (p *peer) expect(want packet.Generic) {
	p.t.Helper()
	require.Equal(p.t, want.String(), p.recv().String())
}

func hello(clean bool) *packet.Connect {
	return &packet.Connect{ClientID: "x", CleanSession: clean, Username: "u", Password: "p", Version: 4}
}

// keep connects with a session that outlives the connection and a subscription.
func (g *rig) keep() *peer {
	g.t.Helper()
	p := g.dial()
	p.send(hello(false))
	require.Zero(g.t, p.recv().(*packet.Connack).ReturnCode)
	p.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 2}}})
	p.expect(&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{2}})
	return p
}

func (g *rig) publish(payload string, qos packet.QOS) chan error {
	done := make(chan error, 1)
	batch := router.NewBatch(g.store)
	g.router.Publish(&router.Publication{
		Message: packet.Message{Topic: "t", Payload: []byte(payload), QOS: qos}, Route: g.router.Route("t"),
		Done: func(_ *router.Publication, err error, _ *router.Batch) { done <- err },
	}, &batch)
	batch.Flush()
	return done
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("missing: %s", what)
		}
	}
}

// dirty tells whether the session's progress is an op in the store's queue.
func (g *rig) dirty(id string) bool {
	g.mu.Lock()
	s := g.sessions[id]
	g.mu.Unlock()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty
}

// A PUBREC and the clean session that discards its session are in the same batch.
func TestDiscardInTheBatchOfPubrec(t *testing.T) {
	g := newRig(t)
	p := g.keep()
	require.NoError(t, <-g.publish("m", 2))
	m := p.recv().(*packet.Publish)
	eventually(t, "nothing to store", func() bool { return !g.dirty("x") })
	release := storetest.Hold(g.store)
	p.send(&packet.Pubrec{ID: m.ID})
	eventually(t, "PUBREC queued", func() bool { return g.dirty("x") })
	_ = p.conn.Close()
	p = g.dial()
	p.send(hello(true))
	eventually(t, "the session taken to be discarded", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		s := g.sessions["x"]
		return s != nil && s.holder != nil && s.holder.user != nil && s.online.Load() == nil && s.holder.s == nil
	})
	release()
	p.expect(&packet.Connack{})
	eventually(t, "nothing stored", func() bool { return g.store.Stats().Messages.Load() == 0 })
}

// Messages that are being stored for a session while it is discarded are not kept.
func TestDiscardWhileMessagesAreStored(t *testing.T) {
	g := newRig(t)
	p := g.keep()
	_ = p.conn.Close()
	eventually(t, "the connection's end", func() bool { return g.stats.Connections.Load() == 0 })
	release := storetest.Hold(g.store)
	var receipts []chan error
	for i := range 10 {
		receipts = append(receipts, g.publish(fmt.Sprint(i), 1))
	}
	p = g.dial()
	p.send(hello(true))
	eventually(t, "the session taken", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.sessions["x"].holder != nil
	})
	for i := range 10 {
		receipts = append(receipts, g.publish(fmt.Sprint(i), 1)) // routed to the old session still, written after its end
	}
	release()
	for _, r := range receipts {
		require.NoError(t, <-r)
	}
	p.expect(&packet.Connack{})
	p.send(packet.NewPingreq())
	p.expect(packet.NewPingresp())
	eventually(t, "nothing stored", func() bool { return g.store.Stats().Messages.Load() == 0 })
}

// Messages that a full queue does not take need neither memory nor disk.
func TestFullQueueDoesNotGrow(t *testing.T) {
	g := newRig(t, func(o *Options) { o.QueueMax = 10 })
	p := g.keep()
	_ = p.conn.Close()
	eventually(t, "the connection's end", func() bool { return g.stats.Connections.Load() == 0 })

	for range 100 {
		var last chan error
		for range 20 {
			last = g.publish("m", 1)
		}
		require.NoError(t, <-last)

	}
	s := g.sessions["x"]
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, 10, s.q.len())
	require.LessOrEqual(t, cap(s.q.entries), 16)
	require.EqualValues(t, 10, g.store.Stats().Messages.Load())
	require.EqualValues(t, 100*20-10, g.stats.QueueFull.Load())
}

// CONNACK has code 3 if the hub can't store a session.
func TestServerUnavailable(t *testing.T) {
	g := newRig(t)
	p := g.dial()
	g.end() // the store ends before the connections, which a hub does not do
	require.NoError(t, <-g.ended)
	g.ended <- nil
	p.send(hello(false))
	p.expect(&packet.Connack{ReturnCode: packet.ServerUnavailable})
	eventually(t, "no session left", func() bool { return g.Sessions() == 0 })
	p = g.dial()
	p.send(hello(true)) // nothing to keep
	p.expect(&packet.Connack{})
}

// Close closes all connections, and new ones are refused.
func TestClosed(t *testing.T) {
	g := newRig(t)
	p, q := g.keep(), g.dial()
	eventually(t, "both connections", func() bool { return g.stats.Connections.Load() == 2 })
	g.Close()
	for _, x := range []*peer{p, q, g.dial()} {
		_ = x.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := x.in.Read()
		require.Error(t, err)
	}
	require.EqualValues(t, 1, g.stats.Rejected.Load())
}
