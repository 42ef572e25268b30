package core_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// peer is the client's end of a connection.
type peer struct {
	r      *rig
	c      *core.Client
	open   []byte // of a Send
	slow   bool   // reads nothing
	in     []byte // what came
	out    []byte // what the hub has not received
	closed bool   // by the hub
	ended  bool

	connected bool // for the use of tests
}

// RemoteAddr is where the peer is.
func (p *peer) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (r *rig) dial() *peer {
	p := &peer{r: r}
	p.c = core.NewClient(p)
	r.peers[p.c] = p
	p.closed = !r.Open(p.c)
	return p
}

func connect(id string) *packet.Connect {
	return &packet.Connect{ClientID: id, CleanSession: true, Username: "u", Version: 4}
}

func kept(id string) *packet.Connect {
	p := connect(id)
	p.CleanSession = false
	return p
}

func willed(p *packet.Connect, m packet.Message) *packet.Connect {
	p.Will = &m
	return p
}

// start opens a connection and sends CONNECT.
func (r *rig) start(x *packet.Connect) *peer {
	r.t.Helper()
	p := r.dial()
	r.Connect(p.c, x, r.users.User(x.Username))
	r.run()
	return p
}

// connect expects to be connected.
func (r *rig) connect(x *packet.Connect) *peer {
	r.t.Helper()
	p := r.start(x)
	require.Contains(r.t, p.next(), "connack 0")
	return p
}

// take lets the socket take what Send gave.
func (p *peer) take() {
	p.in = append(p.in, p.open...)
	p.open = nil
	p.r.Written(p.c)
}

// read ends slow.
func (p *peer) read() {
	p.r.t.Helper()
	if p.slow = false; p.open != nil {
		p.take()
	}
	p.r.run()
}

// cut ends the connection.
func (p *peer) cut() {
	p.r.t.Helper()
	p.end()
	p.r.run()
}

func (p *peer) end() {
	if !p.ended {
		p.ended = true
		p.r.Closed(p.c, io.EOF)
	}
}

func encode(t testing.TB, list ...packet.Generic) (all []byte) {
	t.Helper()
	for _, x := range list {
		b := make([]byte, x.Len())
		_, err := x.Encode(b)
		require.NoError(t, err)
		all = append(all, b...)
	}
	return all
}

// send sends packets in one piece.
func (p *peer) send(list ...packet.Generic) {
	p.r.t.Helper()
	p.raw(encode(p.r.t, list...))
}

func (p *peer) raw(b []byte) {
	p.r.t.Helper()
	p.out = append(p.out, b...)
	p.feed()
	p.r.run()
}

func (p *peer) feed() {
	p.r.t.Helper()
	for used := 1; used > 0 && !p.ended && !p.c.Paused(); { // in turns
		used = p.r.Receive(p.c, p.out)
		require.LessOrEqual(p.r.t, used, len(p.out))
		clear(p.out[:used]) // the core must keep no part of it
		p.out = p.out[used:]
	}
}

// next returns the next packet as text; "" if there is none.
func (p *peer) next() string {
	p.r.t.Helper()
	if x := p.frame(); x != nil {
		return text(x)
	}
	return ""
}

// frame returns the next packet; nil if there is none.
func (p *peer) frame() packet.Generic {
	p.r.t.Helper()
	n, err := core.PacketSize(p.in, 1<<28)
	require.NoError(p.r.t, err)
	if n == 0 || n > len(p.in) {
		return nil
	}
	frame := p.in[:n]
	p.in = p.in[n:]
	x, err := packet.Type(frame[0] >> 4).New()
	require.NoError(p.r.t, err)
	_, err = x.Decode(frame)
	require.NoError(p.r.t, err)
	return x
}

// got returns all packets that have come since.
func (p *peer) got() (list []string) {
	p.r.t.Helper()
	for s := p.next(); s != ""; s = p.next() {
		list = append(list, s)
	}
	return list
}

// is compares all packets that have come since.
func (p *peer) is(want ...string) {
	p.r.t.Helper()
	require.Equal(p.r.t, want, p.got())
}

// isClosed expects that the hub has closed the connection, after these packets.
func (p *peer) isClosed(want ...string) {
	p.r.t.Helper()
	p.is(want...)
	require.True(p.r.t, p.closed, "connection is open")
}

func text(x packet.Generic) string {
	switch x := x.(type) {
	case *packet.Connack:
		return flags(fmt.Sprintf("connack %d", x.ReturnCode), x.SessionPresent, "present")
	case *packet.Suback:
		return fmt.Sprintf("suback %d %v", x.ID, x.ReturnCodes)
	case *packet.Publish:
		s := fmt.Sprintf("%s=%s", x.Message.Topic, x.Message.Payload)
		if x.Message.QOS > 0 {
			s += fmt.Sprintf(" q%d #%d", x.Message.QOS, x.ID)
		}
		return flags(flags(s, x.Dup, "dup"), x.Message.Retain, "retained")
	case *packet.Puback:
		return fmt.Sprint("puback ", x.ID)
	case *packet.Pubrec:
		return fmt.Sprint("pubrec ", x.ID)
	case *packet.Pubrel:
		return fmt.Sprint("pubrel ", x.ID)
	case *packet.Pubcomp:
		return fmt.Sprint("pubcomp ", x.ID)
	case *packet.Unsuback:
		return fmt.Sprint("unsuback ", x.ID)
	}
	return x.Type().String()
}

func flags(s string, has bool, flag string) string {
	if has {
		return s + " " + flag
	}
	return s
}

func pub(id packet.ID, qos packet.QOS, name, payload string) *packet.Publish {
	return &packet.Publish{ID: id, Message: packet.Message{Topic: name, Payload: []byte(payload), QOS: qos}}
}

func retained(id packet.ID, qos packet.QOS, name, payload string) *packet.Publish {
	p := pub(id, qos, name, payload)
	p.Message.Retain = true
	return p
}

func sub(id packet.ID, qos packet.QOS, filters ...string) *packet.Subscribe {
	p := &packet.Subscribe{ID: id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Topic: f, QOS: qos})
	}
	return p
}

func puback(id packet.ID) packet.Generic  { return &packet.Puback{ID: id} }
func pubrec(id packet.ID) packet.Generic  { return &packet.Pubrec{ID: id} }
func pubrel(id packet.ID) packet.Generic  { return &packet.Pubrel{ID: id} }
func pubcomp(id packet.ID) packet.Generic { return &packet.Pubcomp{ID: id} }

// subscribed returns a connected client with subscriptions.
func (r *rig) subscribed(x *packet.Connect, qos packet.QOS, filters ...string) *peer {
	r.t.Helper()
	p := r.connect(x)
	p.send(sub(1, qos, filters...))
	codes := slices.Repeat([]packet.QOS{qos}, len(filters))
	require.Equal(r.t, fmt.Sprintf("suback 1 %v", codes), p.next())
	return p
}
