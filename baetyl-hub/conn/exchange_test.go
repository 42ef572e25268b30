package conn_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// block lets the store wait, with another client's message, until release.
func (g *rig) block() (release func()) {
	g.t.Helper()
	by := g.tcp().login("block", true)
	free := g.store.hold()
	by.send(&packet.Publish{ID: 1, Message: packet.Message{Topic: "block", Payload: []byte("x"), QOS: 1, Retain: true}})
	g.storing()
	return func() {
		g.t.Helper()
		free()
		by.expect(&packet.Puback{ID: 1})
	}
}

// again closes the last connection of the client "sender" and returns a new one.
func (g *rig) again(last *peer) *peer {
	g.t.Helper()
	if last != nil {
		_ = last.conn.Close()
	}
	return g.tcp().login("sender", false)
}

// handled returns when the hub has handled all packets of p. It fails if there is another answer than PINGRESP.
func (p *peer) handled() {
	p.t.Helper()
	p.send(packet.NewPingreq())
	p.expect(packet.NewPingresp())
}

// nothingMore fails if an answer is still to come, also one that waits for the store.
func (p *peer) nothingMore() {
	p.t.Helper()
	p.send(&packet.Publish{ID: 999, Message: packet.Message{Topic: "fence", Payload: []byte("x"), QOS: 1, Retain: true}})
	p.expect(&packet.Puback{ID: 999})
}

// A QoS 2 exchange continues on a second connection while the store is blocked: each connection gets as many answers as
// it has sent packets that need one.
func TestExchangeOverTwoConnections(t *testing.T) {
	const id = 5
	first, rel := publish(id, []byte("first"), 2), &packet.Pubrel{ID: id}
	rec, comp := &packet.Pubrec{ID: id}, &packet.Pubcomp{ID: id}
	type list = []packet.Generic
	for name, script := range map[string]struct {
		before  list // answered on the first connection
		first   list // sent on the first connection while the store is blocked
		second  list // sent on the second connection while the store is blocked
		answers list // on the second connection
		copies  int  // messages that are published in total
	}{
		"PUBLISH, nothing asked": {first: list{first}, copies: 1},
		"PUBLISH again":          {first: list{first}, second: list{first}, answers: list{rec}, copies: 1},
		"PUBLISH twice again": {
			first: list{first}, second: list{first, first}, answers: list{rec, rec}, copies: 1,
		},
		"PUBREL before PUBREC":     {first: list{first}, second: list{rel}, answers: list{comp}, copies: 1},
		"PUBLISH again and PUBREL": {first: list{first}, second: list{first, rel}, answers: list{rec, comp}, copies: 1},
		"PUBREL, nothing asked":    {before: list{first}, first: list{rel}, copies: 1},
		"PUBREL again": {
			before: list{first}, first: list{rel}, second: list{rel}, answers: list{comp}, copies: 1,
		},
		"PUBREL twice again": {
			before: list{first}, first: list{rel}, second: list{rel, rel}, answers: list{comp, comp}, copies: 1,
		},
		"PUBREL, then another message": {
			before: list{first}, first: list{rel}, second: list{first}, answers: list{rec}, copies: 2,
		},
		"both on the second": {second: list{first, rel}, answers: list{rec, comp}, copies: 1},
		"both on the first, PUBREL lost": {
			first: list{first, rel}, second: list{rel}, answers: list{comp}, copies: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.tcp().login("keep", false).sub("t", 2)
			p := g.again(nil)
			for _, x := range script.before {
				p.send(x)
				p.expect(rec)
			}
			release := g.block()
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
			p.send(publish(id, []byte("next"), 2))
			p.expect(rec)
			p.send(rel)
			p.expect(comp)
			p.nothingMore()
			require.Equal(t, script.copies+1, g.store.get(func() int { return len(g.store.entries[1]) }))
		})
	}
}

// The hub closes the connection of a client that uses an id again before PUBCOMP: the message is not acknowledged, and
// not published twice.
func TestIDUsedTooEarly(t *testing.T) {
	g := newRig(t)
	p := g.again(nil)
	release := g.block()
	p.send(publish(5, []byte("first"), 2), &packet.Pubrel{ID: 5}, publish(5, []byte("second"), 2))
	_ = p.conn.SetReadDeadline(time.Now().Add(limit))
	_, err := p.in.Read()
	require.ErrorIs(t, err, io.EOF)
	release()
}

// A retained message is being stored while a client subscribes: the client gets it, as the last message of the topic.
func TestSubscribeWhileRetainedIsStored(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for qos := range packet.QOS(3) {
			g := newRig(t)
			by, p := g.tcp().login("by", true), g.tcp().login("p", clean)
			retain := func(payload string) *packet.Publish {
				return &packet.Publish{ID: 1, Message: packet.Message{
					Topic: "t", Payload: []byte(payload), QOS: 1, Retain: true,
				}}
			}
			by.send(retain("old"))
			by.expect(&packet.Puback{ID: 1})
			release := g.block()
			by.send(retain("new"))
			by.handled()
			p.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: qos}}})
			eventually(t, "the subscription", func() bool { return g.Stats().Subscriptions == 1 })
			release()
			by.expect(&packet.Puback{ID: 1})
			p.expect(&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{qos}})
			for last := ""; last != "new"; {
				last = string(p.recv().(*packet.Publish).Message.Payload)
			}
		}
	}
}

// A session gets one copy of a message, however many of its filters match, at the highest quality of service of them.
func TestEachSubscriberOnceAtItsBest(t *testing.T) {
	g := newRig(t)
	by := g.tcp().login("by", true)
	for i, clean := range []bool{true, false} {
		p := g.tcp().login(string(rune('p'+i)), clean)
		for qos, filter := range []string{"#", "+", "t"} {
			p.sub(filter, packet.QOS(qos))
		}
		for qos := range packet.QOS(3) {
			by.send(publish(7, []byte{byte(qos)}, qos), &packet.Pubrel{ID: 7})
			m := p.recv().(*packet.Publish)
			require.Equal(t, []byte{byte(qos)}, m.Message.Payload)
			require.Equal(t, qos, m.Message.QOS)
			if qos == 1 {
				p.send(&packet.Puback{ID: m.ID})
			}
		}
		_ = p.conn.Close()
		eventually(t, "its end", func() bool { return g.Stats().Connections == 1 })
	}
}

// What waits for a batch and has nothing to store itself goes on when that is stored, also where it is so much that it
// comes in pieces.
func TestMuchBehindABatch(t *testing.T) {
	const subscribers, messages = 60, 90
	g := newRig(t)
	for i := range subscribers {
		g.tcp().login(fmt.Sprint("s", i), true).sub("t", 1)
	}
	p := g.tcp().login("p", true)
	release := g.store.hold()
	var stored, behind []packet.Generic
	for i := range 3 { // more than a reader writes itself
		stored = append(stored, &packet.Publish{ID: packet.ID(i + 1),
			Message: packet.Message{Topic: fmt.Sprint("kept/", i), Payload: []byte("x"), QOS: 1, Retain: true}})
	}
	p.send(stored...)
	g.storing()
	for i := range messages {
		behind = append(behind, publish(packet.ID(i+4), []byte("x"), 1))
	}
	before := g.Stats().Received
	p.send(behind...)
	eventually(t, "all are received", func() bool { return g.Stats().Received == before+messages })
	release()
	for i := range len(stored) + messages {
		p.expect(&packet.Puback{ID: packet.ID(i + 1)})
	}
}
