package conn_test

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/conn"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

// limit is how long a test waits for what has to happen.
const limit = time.Minute

// memory is a store that a test can hold or let fail. The real one is in the tests of package hub and conformance.
type memory struct {
	mu      sync.Mutex
	free    *sync.Cond
	held    bool  // Write waits
	err     error // of Write
	writes  int
	writing int // goroutines in Write
	most    int // the largest number of them
	entries map[uint64][]record.Entry
}

func newMemory() *memory {
	m := &memory{entries: map[uint64][]record.Entry{}}
	m.free = sync.NewCond(&m.mu)
	return m
}

// Write implements conn.Store.
func (m *memory) Write(b *record.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing++
	m.most = max(m.most, m.writing)
	defer func() { m.writing-- }()
	for m.held {
		m.free.Wait()
	}
	m.writes++
	if m.err != nil {
		return m.err
	}
	for data := b.Data; len(data) > 0; {
		kind, body, rest, err := record.Next(data)
		if err != nil {
			return err
		}
		data = rest
		if kind != record.KindPublish {
			continue
		}
		p, err := record.DecodePublish(body)
		if err != nil {
			return err
		}
		message, err := p.Message()
		if err != nil {
			return err
		}
		for targets := p.Targets(); ; {
			t, ok := targets.Next()
			if !ok {
				break
			}
			e := record.Entry{Position: t.Position, QOS: t.QOS, Retained: t.Retained, Message: message}
			m.entries[t.Session] = append(m.entries[t.Session], e)
		}
	}
	return nil
}

// Read implements conn.Store.
func (m *memory) Read(session, from uint64, messages, _ int) (out []record.Entry, next uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next = from
	for _, e := range m.entries[session] {
		if e.Position >= from && len(out) < messages {
			out = append(out, e)
			next = e.Position + 1
		}
	}
	return out, next, nil
}

// Room implements conn.Store.
func (m *memory) Room(int64) int64 { return math.MaxInt64 }

// hold lets Write wait until release.
func (m *memory) hold() (release func()) {
	m.set(func() { m.held = true })
	return func() { m.set(func() { m.held = false }) }
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.free.Broadcast()
}

func (m *memory) get(f func() int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

// rig is a running server.
type rig struct {
	*conn.Server
	t     testing.TB
	store *memory // nil: a real one
	stop  func()  // once
}

type options struct {
	core core.Options
	conn conn.Options
}

// newRig runs a server on a store in memory until the end of the test.
func newRig(t testing.TB, change ...func(*options)) *rig {
	t.Helper()
	st := newMemory()
	g, stop := serveOn(t, st, func(*core.Core) error { return nil }, change...)
	g.store = st
	g.stop = sync.OnceFunc(func() {
		st.set(func() { st.held = false }) // a test that has failed may not have released it
		require.NoError(t, stop())
	})
	t.Cleanup(g.stop)
	return g
}

// serveOn runs a server on a store, whose content load gives to the core.
func serveOn(t testing.TB, st conn.Store, load func(*core.Core) error, change ...func(*options)) (*rig, func() error) {
	t.Helper()
	all := []auth.Permission{{Action: "pub", Permit: []string{"#"}}, {Action: "sub", Permit: []string{"#"}}}
	users, err := auth.New([]auth.Principal{
		{Username: "u", Password: "p", Permissions: all}, {Username: "v", Password: "p", Permissions: all},
	}, topic.DefaultLimits)
	require.NoError(t, err)
	o := options{
		core: core.Options{
			Log: log.Discard(), Topic: topic.DefaultLimits, ClientIDMax: 128, PacketMax: 1 << 20, ConnectionsMax: 1000,
			SubscriptionsMax: 100, Ingress: 100, EgressQOS0: 1000, EgressBytes: 1 << 20, Window: 100, QueueMax: 1000,
			FetchMax: 50, Retry: time.Minute,
		},
		conn: conn.Options{
			Log: log.Discard(), PacketMax: 1 << 20, ConnectTimeout: limit, WriteTimeout: limit,
		},
	}
	for _, f := range change {
		f(&o)
	}
	k := core.New(o.core, users)
	k.At(time.Now())
	if err := load(k); err != nil {
		return nil, func() error { return err }
	}
	k.Loaded()
	g := &rig{Server: conn.New(o.conn, k, st, users), t: t}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return g, func() error {
		g.Close()
		cancel()
		return <-ended
	}
}

// storing waits until the store writes.
func (g *rig) storing() {
	g.t.Helper()
	eventually(g.t, "a write", func() bool { return g.store.get(func() int { return g.store.writing }) == 1 })
}

// peer is the client's end of a connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *packet.Decoder
}

// pipe connects without a socket: nothing is written before the peer reads.
func (g *rig) pipe() *peer {
	hub, peer := net.Pipe()
	return g.serve(hub, peer)
}

func (g *rig) tcp() *peer { return g.dial("tcp", "127.0.0.1:0") }

// unix connects over a socket that takes no port, and is not written to as TCP is.
func (g *rig) unix() *peer {
	g.t.Helper()
	dir, err := os.MkdirTemp("", "hub") // not t.TempDir, whose names can be too long for a socket
	require.NoError(g.t, err)
	defer os.RemoveAll(dir)
	return g.dial("unix", filepath.Join(dir, "socket"))
}

func (g *rig) dial(network, address string) *peer {
	g.t.Helper()
	ln, err := net.Listen(network, address)
	require.NoError(g.t, err)
	defer ln.Close()
	c, err := net.Dial(network, ln.Addr().String())
	require.NoError(g.t, err)
	hub, err := ln.Accept()
	require.NoError(g.t, err)
	return g.serve(hub, c)
}

func (g *rig) serve(hub, c net.Conn) *peer {
	go g.Serve(hub, nil) // Close waits for it
	g.t.Cleanup(func() { _ = c.Close() })
	return &peer{g.t, c, packet.NewDecoder(bufio.NewReader(c))}
}

func (p *peer) send(list ...packet.Generic) {
	p.t.Helper()
	require.NoError(p.t, p.trySend(list...))
}

func (p *peer) trySend(list ...packet.Generic) error {
	var all []byte
	for _, x := range list {
		b := make([]byte, x.Len())
		if _, err := x.Encode(b); err != nil {
			return err
		}
		all = append(all, b...)
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := p.conn.Write(all)
	return err
}

func (p *peer) recv() packet.Generic {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(limit))
	x, err := p.in.Read()
	require.NoError(p.t, err)
	return x
}

func (p *peer) expect(want packet.Generic) {
	p.t.Helper()
	require.Equal(p.t, want.String(), p.recv().String())
}

// end reads until the hub closes the connection.
func (p *peer) end() {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(limit))
	for {
		if _, err := p.in.Read(); err != nil {
			var timeout net.Error
			require.False(p.t, errors.As(err, &timeout) && timeout.Timeout(), "the hub does not close the connection")
			return
		}
	}
}

func (p *peer) login(id string, clean bool) *peer {
	p.t.Helper()
	return p.loginAs("u", id, clean)
}

func (p *peer) loginAs(user, id string, clean bool) *peer {
	p.t.Helper()
	p.send(&packet.Connect{ClientID: id, CleanSession: clean, Username: user, Password: "p", Version: 4})
	require.Zero(p.t, p.recv().(*packet.Connack).ReturnCode)
	return p
}

func (p *peer) sub(filter string, qos packet.QOS) *peer {
	p.t.Helper()
	p.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: filter, QOS: qos}}})
	p.expect(&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{qos}})
	return p
}

func publish(id packet.ID, payload []byte, qos packet.QOS) *packet.Publish {
	return &packet.Publish{ID: id, Message: packet.Message{Topic: "t", Payload: payload, QOS: qos}}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("missing: %s", what)
		}
	}
}
