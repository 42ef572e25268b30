// Package conformance_test tests over network connections that the hub follows the standard and docs/hub.md.
// docs/mqtt-conformance.md names the test of each normative statement.
//
// A test is a script: what a client sends and what it must get, in order. To check that no packet comes, a test does
// not wait: it publishes another message, which must come next (fence), or sends PINGREQ, and PINGRESP must come next
// (quiet).
package conformance_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// scriptTimeout is how long a script waits for an expected packet. It is long, because the machine may be busy.
const scriptTimeout = time.Minute

// anyone is a configuration: user test may do everything, nobody has no permissions, ann and bob may use some topics.
const anyone = `
metrics: {address: ''}
listen: ['tcp://127.0.0.1:0']
principals:
- username: test
  password: hahaha
  permissions:
  - {action: pub, permit: ['#']}
  - {action: sub, permit: ['#', '$SYS/#']}
- username: nobody
  password: hahaha
- username: ann
  password: ann
  permissions:
  - {action: pub, permit: ['ann/#', 'shared']}
  - {action: sub, permit: ['ann/+', '+/open', 'shared']}
- username: bob
  password: bob
  permissions:
  - {action: pub, permit: ['bob/#']}
  - {action: sub, permit: ['bob/#']}
`

// broker is a running hub.
type broker struct {
	*hub.Hub
	t     testing.TB
	addrs []string
	stop  func()
}

// start runs a hub in a folder of its own until the test ends.
func start(t testing.TB, yml string) *broker { return startIn(t, t.TempDir(), yml) }

// startIn runs a hub in dir until stop, or the end of the test.
func startIn(t testing.TB, dir, yml string) *broker {
	t.Helper()
	var cfg config.Config
	require.NoError(t, conf.Parse("service.yml", []byte(yml), &cfg))
	cfg.Storage.Dir = dir
	h, err := hub.Open(cfg, log.Discard())
	require.NoError(t, err)
	b := &broker{Hub: h, t: t}
	for _, a := range h.Addrs() {
		b.addrs = append(b.addrs, a.String())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(scriptTimeout):
			t.Fatal("hub did not stop")
		}
	}
	t.Cleanup(b.stop)
	return b
}

// stat returns a statistic of the hub.
func (b *broker) stat(name string) int64 {
	n, ok := b.Report()[name]
	require.True(b.t, ok, "no statistic %s", name)
	return n
}

// eventually polls cond.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(scriptTimeout); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("missing after %s: %s", scriptTimeout, what)
		}
	}
}

// peer is the client's end of a connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *packet.Decoder
	id   packet.ID // last used for its own packets
	open int       // QoS 2 messages taken and not released
}

func (b *broker) dial() *peer {
	b.t.Helper()
	conn, err := net.DialTimeout("tcp", b.addrs[0], scriptTimeout)
	require.NoError(b.t, err)
	return newPeer(b.t, conn)
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{t: t, conn: conn, in: packet.NewDecoder(bufio.NewReader(conn))}
}

// hello is a CONNECT of the user who may do everything.
func hello(id string, clean bool) *packet.Connect {
	c := packet.NewConnect()
	c.ClientID, c.CleanSession, c.Username, c.Password = id, clean, "test", "hahaha"
	return c
}

// as is the CONNECT of another user, whose password is the user name.
func as(user, id string, clean bool) *packet.Connect {
	c := hello(id, clean)
	c.Username, c.Password = user, user
	return c
}

// login connects and expects CONNACK with code 0.
func (b *broker) login(c *packet.Connect) *peer {
	b.t.Helper()
	p, _ := b.session(c)
	return p
}

// clean connects with a clean session.
func (b *broker) clean(id string) *peer {
	b.t.Helper()
	return b.login(hello(id, true))
}

// keep connects with a session that outlives the connection.
func (b *broker) keep(id string) *peer {
	b.t.Helper()
	return b.login(hello(id, false))
}

func (b *broker) session(c *packet.Connect) (p *peer, present bool) {
	b.t.Helper()
	p = b.dial()
	p.send(c)
	ack, ok := p.recv().(*packet.Connack)
	require.True(b.t, ok, "first packet is not CONNACK")
	require.Equal(b.t, packet.ConnectionAccepted, ack.ReturnCode)
	return p, ack.SessionPresent
}

// refused connects and expects CONNACK with code, and then the end of the connection.
func (b *broker) refused(c *packet.Connect, code packet.ConnackCode) {
	b.t.Helper()
	p := b.dial()
	p.send(c)
	p.expect(&packet.Connack{ReturnCode: code})
	p.end()
}

// send writes packets in one piece.
func (p *peer) send(list ...packet.Generic) {
	p.t.Helper()
	p.raw(encode(p.t, list...))
}

func encode(t testing.TB, list ...packet.Generic) (b []byte) {
	t.Helper()
	for _, x := range list {
		buf := make([]byte, x.Len())
		_, err := x.Encode(buf)
		require.NoError(t, err)
		b = append(b, buf...)
	}
	return b
}

// raw writes bytes. It ignores that the hub has closed the connection: the next read notices it.
func (p *peer) raw(b []byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(scriptTimeout))
	if _, err := p.conn.Write(b); err != nil && !gone(err) {
		p.t.Fatalf("write: %v", err)
	}
}

// gone tells whether err says that the hub has closed the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// read returns the next packet, or why there is none.
func (p *peer) read() (packet.Generic, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(scriptTimeout))
	x, err := p.in.Read()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Helper()
		p.t.Fatalf("nothing came within %s", scriptTimeout)
	}
	return x, err
}

// recv returns the next packet, which must come.
func (p *peer) recv() packet.Generic {
	p.t.Helper()
	x, err := p.read()
	require.NoError(p.t, err, "read the next packet")
	return x
}

// expect fails unless these packets come next.
func (p *peer) expect(want ...packet.Generic) {
	p.t.Helper()
	for _, w := range want {
		require.Equal(p.t, w.String(), p.recv().String())
	}
}

// end fails unless the hub closes the connection without another packet.
func (p *peer) end() {
	p.t.Helper()
	x, err := p.read()
	if err == nil {
		p.t.Fatalf("got %s where the connection should have been closed", x)
	}
	var alert tls.AlertError
	require.True(p.t, gone(err) || errors.As(err, &alert), "not closed: %v", err)
}

// quiet fails if the hub has sent a packet that the client has not read.
func (p *peer) quiet() {
	p.t.Helper()
	p.send(packet.NewPingreq())
	p.expect(packet.NewPingresp())
}

func (p *peer) close() { _ = p.conn.Close() }

// bye ends the connection with DISCONNECT.
func (p *peer) bye() {
	p.t.Helper()
	p.send(packet.NewDisconnect())
	p.end()
}

func (p *peer) nextID() packet.ID {
	p.id++
	return p.id
}

// sub subscribes and fails unless all filters are granted with that QoS.
func (p *peer) sub(qos packet.QOS, filters ...string) {
	p.t.Helper()
	codes := make([]packet.QOS, len(filters))
	for i := range codes {
		codes[i] = qos
	}
	require.Equal(p.t, codes, p.trySub(qos, filters...))
}

// trySub subscribes and returns the codes.
func (p *peer) trySub(qos packet.QOS, filters ...string) []packet.QOS {
	p.t.Helper()
	s := &packet.Subscribe{ID: p.nextID()}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Topic: f, QOS: qos})
	}
	p.send(s)
	ack, ok := p.recv().(*packet.Suback)
	require.True(p.t, ok, "SUBACK expected")
	require.Equal(p.t, s.ID, ack.ID)
	return ack.ReturnCodes
}

func (p *peer) unsub(filters ...string) {
	p.t.Helper()
	p.send(&packet.Unsubscribe{ID: p.nextID(), Topics: filters})
	p.expect(&packet.Unsuback{ID: p.id})
}

func message(topic, payload string, qos packet.QOS) packet.Message {
	return packet.Message{Topic: topic, Payload: []byte(payload), QOS: qos}
}

// pub publishes and completes the exchange. It fails if the client gets another packet meanwhile.
func (p *peer) pub(topic, payload string, qos packet.QOS) {
	p.t.Helper()
	p.publish(message(topic, payload, qos))
}

func (p *peer) retain(topic, payload string, qos packet.QOS) {
	p.t.Helper()
	m := message(topic, payload, qos)
	m.Retain = true
	p.publish(m)
}

func (p *peer) publish(m packet.Message) {
	p.t.Helper()
	x := &packet.Publish{Message: m}
	if m.QOS > 0 {
		x.ID = p.nextID()
	}
	p.send(x)
	switch m.QOS {
	case 0:
		p.quiet()     // the hub has handled it
		if m.Retain { // and stored it: the hub answers SUBSCRIBE after that, also if it refuses it
			p.trySub(0, "")
			p.quiet()
		}
	case 1:
		p.expect(&packet.Puback{ID: x.ID})
	case 2:
		p.expect(&packet.Pubrec{ID: x.ID})
		p.send(&packet.Pubrel{ID: x.ID})
		p.expect(&packet.Pubcomp{ID: x.ID})
	}
}

// next returns the next packet, which must be a PUBLISH.
func (p *peer) next() *packet.Publish {
	p.t.Helper()
	x := p.recv()
	m, ok := x.(*packet.Publish)
	require.True(p.t, ok, "PUBLISH expected, got %s", x)
	return m
}

// want fails unless the next packet is a PUBLISH with this content, and acknowledges it.
func (p *peer) want(topic, payload string, qos packet.QOS) *packet.Publish {
	p.t.Helper()
	m := p.next()
	require.Equal(p.t, fmt.Sprintf("%s=%s at %d", topic, payload, qos), text(m))
	p.ack(m)
	return m
}

func text(m *packet.Publish) string {
	return fmt.Sprintf("%s=%s at %d", m.Message.Topic, m.Message.Payload, m.Message.QOS)
}

// ack acknowledges m and completes the exchange.
func (p *peer) ack(m *packet.Publish) {
	p.t.Helper()
	switch m.Message.QOS {
	case 1:
		p.send(&packet.Puback{ID: m.ID})
	case 2:
		p.send(&packet.Pubrec{ID: m.ID})
		p.expect(&packet.Pubrel{ID: m.ID})
		p.send(&packet.Pubcomp{ID: m.ID})
	}
}

// take returns the next message. It sends PUBACK or PUBREC for it, and answers PUBREL of earlier messages.
func (p *peer) take() *packet.Publish {
	p.t.Helper()
	for {
		switch x := p.recv().(type) {
		case *packet.Publish:
			switch x.Message.QOS {
			case 1:
				p.send(&packet.Puback{ID: x.ID})
			case 2:
				p.send(&packet.Pubrec{ID: x.ID})
				p.open++
			}
			return x
		case *packet.Pubrel:
			p.send(&packet.Pubcomp{ID: x.ID})
			p.open--
		default:
			p.t.Fatalf("message expected, got %s", x)
		}
	}
}

// settle completes the exchanges that take began, and fails if another packet comes.
func (p *peer) settle() {
	p.t.Helper()
	for ; p.open > 0; p.open-- {
		x, ok := p.recv().(*packet.Pubrel)
		require.True(p.t, ok, "PUBREL expected")
		p.send(&packet.Pubcomp{ID: x.ID})
	}
	p.quiet()
}

// fence publishes a message from by, and fails unless it is the next one that p gets.
func (p *peer) fence(by *peer, topic string) {
	p.t.Helper()
	by.pub(topic, "fence", 0)
	p.want(topic, "fence", 0)
}

// frame makes a packet of a first byte and a body; the remaining length is right.
func frame(first byte, body ...[]byte) []byte {
	var all []byte
	for _, x := range body {
		all = append(all, x...)
	}
	return append(binary.AppendUvarint([]byte{first}, uint64(len(all))), all...)
}

// str is a string with its length before it.
func str(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// connectBytes is a CONNECT with any name, level and flags.
func connectBytes(name string, level, flags byte, fields ...[]byte) []byte {
	body := append(str(name), level, flags, 0, 0)
	for _, f := range fields {
		body = append(body, f...)
	}
	return frame(0x10, body)
}
