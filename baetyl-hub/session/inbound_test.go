package session

import (
	"io"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/store/storetest"
)

// sender is a client with a QoS 2 exchange, on one connection or another.
type sender struct {
	*peer
	g *rig
}

// again closes the last connection of the client and returns a new one.
func (g *rig) again(last *sender) *sender {
	g.t.Helper()
	if last != nil {
		_ = last.conn.Close()
	}
	p := &sender{g.dial(), g}
	p.send(&packet.Connect{ClientID: "sender", Username: "u", Password: "p", Version: 4})
	require.Zero(g.t, p.recv().(*packet.Connack).ReturnCode)
	return p
}

func exactlyOnce(id packet.ID, payload string) *packet.Publish {
	return &packet.Publish{ID: id, Message: packet.Message{Topic: "t", Payload: []byte(payload), QOS: 2}}
}

// handled returns when the hub has handled all packets of p. It fails if there is another answer than PINGRESP.
func (p *sender) handled() {
	p.t.Helper()
	p.send(packet.NewPingreq())
	p.expect(packet.NewPingresp())
}

// nothingMore fails if an answer is still to come, also one that waits for the store.
func (p *sender) nothingMore() {
	p.t.Helper()
	p.send(&packet.Publish{ID: 999, Message: packet.Message{Topic: "fence", Payload: []byte("x"), QOS: 1, Retain: true}})
	p.expect(&packet.Puback{ID: 999})
}

// An exchange continues on a second connection while the store is blocked: each connection gets as many answers as it
// has sent packets that need one.
func TestExchangeOverTwoConnections(t *testing.T) {
	const id = 5
	publish, rel := exactlyOnce(id, "first"), &packet.Pubrel{ID: id}
	rec, comp := &packet.Pubrec{ID: id}, &packet.Pubcomp{ID: id}
	type list = []packet.Generic
	for name, script := range map[string]struct {
		before  list // answered on the first connection
		first   list // sent on the first connection while the store is blocked
		second  list // sent on the second connection while the store is blocked
		answers list // on the second connection
		copies  int  // messages that are published in total
	}{
		"PUBLISH, nothing asked": {first: list{publish}, copies: 1},
		"PUBLISH again":          {first: list{publish}, second: list{publish}, answers: list{rec}, copies: 1},
		"PUBLISH twice again": {
			first: list{publish}, second: list{publish, publish}, answers: list{rec, rec}, copies: 1,
		},
		"PUBREL before PUBREC":     {first: list{publish}, second: list{rel}, answers: list{comp}, copies: 1},
		"PUBLISH again and PUBREL": {first: list{publish}, second: list{publish, rel}, answers: list{rec, comp}, copies: 1},
		"PUBREL, nothing asked":    {before: list{publish}, first: list{rel}, copies: 1},
		"PUBREL again": {
			before: list{publish}, first: list{rel}, second: list{rel}, answers: list{comp}, copies: 1,
		},
		"PUBREL twice again": {
			before: list{publish}, first: list{rel}, second: list{rel, rel}, answers: list{comp, comp}, copies: 1,
		},
		"PUBREL, then another message": {
			before: list{publish}, first: list{rel}, second: list{publish}, answers: list{rec}, copies: 2,
		},
		"both on the second": {second: list{publish, rel}, answers: list{rec, comp}, copies: 1},
		"both on the first, PUBREL lost": {
			first: list{publish, rel}, second: list{rel}, answers: list{comp}, copies: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.keep()
			p := g.again(nil)
			for _, x := range script.before {
				p.send(x)
				p.expect(rec)
			}
			release := storetest.Hold(g.store)
			p.send(script.first...)
			p.handled()
			p = g.again(p)
			p.send(script.second...)
			p.handled()
			release()
			for _, x := range script.answers {
				p.expect(x)
			}
			p.nothingMore()
			// The id is free again: the exchange is complete, or completed now.
			p.send(rel)
			p.expect(comp)
			p.send(exactlyOnce(id, "next"))
			p.expect(rec)
			p.send(rel)
			p.expect(comp)
			p.nothingMore()
			require.EqualValues(t, script.copies+1, g.store.Stats().Messages.Load())
		})
	}
}

// The hub closes the connection of a client that uses an id again before PUBCOMP: the message is not acknowledged, and
// not published twice.
func TestIDUsedTooEarly(t *testing.T) {
	g := newRig(t)
	p := g.again(nil)
	release := storetest.Hold(g.store)
	p.send(exactlyOnce(5, "first"), &packet.Pubrel{ID: 5}, exactlyOnce(5, "second"))
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := p.in.Read()
	require.ErrorIs(t, err, io.EOF)
	release()
}
