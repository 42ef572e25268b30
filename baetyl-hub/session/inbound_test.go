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

// again is the client on a new connection; the one before ends.
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

// handled returns when the hub has handled what p sent; no other answer may have come.
func (p *sender) handled() {
	p.t.Helper()
	p.send(packet.NewPingreq())
	p.expect(packet.NewPingresp())
}

// nothingMore wants that no answer is on the way, also not from the store.
func (p *sender) nothingMore() {
	p.t.Helper()
	p.send(&packet.Publish{ID: 999, Message: packet.Message{Topic: "fence", Payload: []byte("x"), QOS: 1, Retain: true}})
	p.expect(&packet.Puback{ID: 999})
}

// An exchange goes over two connections while the store stands still: each asks, is answered as often as it asked,
// and nobody else is.
func TestExchangeOverTwoConnections(t *testing.T) {
	const id = 5
	publish, rel := exactlyOnce(id, "first"), &packet.Pubrel{ID: id}
	rec, comp := &packet.Pubrec{ID: id}, &packet.Pubcomp{ID: id}
	for name, script := range map[string]struct {
		before  []packet.Generic // answered on the first connection
		first   []packet.Generic // sent on the first connection while the store stands still
		second  []packet.Generic // on the second, likewise
		answers []packet.Generic // what the second gets
		copies  int              // messages that are published in all
	}{
		"PUBLISH, nothing asked":         {first: []packet.Generic{publish}, copies: 1},
		"PUBLISH again":                  {first: []packet.Generic{publish}, second: []packet.Generic{publish}, answers: []packet.Generic{rec}, copies: 1},
		"PUBLISH twice again":            {first: []packet.Generic{publish}, second: []packet.Generic{publish, publish}, answers: []packet.Generic{rec, rec}, copies: 1},
		"PUBREL before PUBREC":           {first: []packet.Generic{publish}, second: []packet.Generic{rel}, answers: []packet.Generic{comp}, copies: 1},
		"PUBLISH again and PUBREL":       {first: []packet.Generic{publish}, second: []packet.Generic{publish, rel}, answers: []packet.Generic{rec, comp}, copies: 1},
		"PUBREL, nothing asked":          {before: []packet.Generic{publish}, first: []packet.Generic{rel}, copies: 1},
		"PUBREL again":                   {before: []packet.Generic{publish}, first: []packet.Generic{rel}, second: []packet.Generic{rel}, answers: []packet.Generic{comp}, copies: 1},
		"PUBREL twice again":             {before: []packet.Generic{publish}, first: []packet.Generic{rel}, second: []packet.Generic{rel, rel}, answers: []packet.Generic{comp, comp}, copies: 1},
		"PUBREL, then another message":   {before: []packet.Generic{publish}, first: []packet.Generic{rel}, second: []packet.Generic{publish}, answers: []packet.Generic{rec}, copies: 2},
		"both on the second":             {second: []packet.Generic{publish, rel}, answers: []packet.Generic{rec, comp}, copies: 1},
		"both on the first, PUBREL lost": {first: []packet.Generic{publish, rel}, second: []packet.Generic{rel}, answers: []packet.Generic{comp}, copies: 1},
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

// Who uses an id again without waiting for PUBCOMP is cut off: his message is neither lost in silence nor published
// twice.
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
