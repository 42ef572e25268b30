package conformance_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

func TestSessionPresent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	connect := func(clean, want bool) {
		t.Helper()
		p, present := b.session(hello("x", clean))
		require.Equal(t, want, present)
		p.bye()
	}
	connect(true, false)
	connect(true, false)
	connect(false, false) // a clean session left nothing
	connect(false, true)
	connect(true, false)
	connect(false, false) // a clean session took the kept one away
	connect(false, true)
	b.stop()
	b = startIn(t, dir, anyone)
	connect(false, true)
	p, present := b.session(hello("", true))
	require.False(t, present)
	p.bye()
}

// In MQTT 3.1 the byte of the flag session present is reserved.
func TestSessionPresentOfMQTT31(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	c := hello("x", false)
	c.Version = packet.Version31
	for range 2 {
		p, present := b.session(c)
		require.False(t, present)
		p.bye()
	}
}

// While the client is away QoS 1 and 2 messages wait for it, in order; QoS 0 messages don't.
func TestMessagesWaitForTheClient(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for round, leave := range []func(*peer){(*peer).bye, (*peer).close} {
		p := b.keep("p")
		p.sub(2, "t/+")
		p.sub(0, "zero/+")
		leave(p)
		eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 1 })
		for i := range 250 { // more than two windows: some leave the memory
			by.pub(fmt.Sprintf("t/%d", i), fmt.Sprint(round), packet.QOS(i%3))
		}
		by.pub("zero/x", "m", 2)
		p, present := b.session(hello("p", false))
		require.True(t, present)
		for i := range 250 {
			if i%3 > 0 {
				m := p.take()
				require.Equal(t, fmt.Sprintf("t/%d=%d at %d", i, round, i%3), text(m))
				require.False(t, m.Dup)
			}
		}
		p.settle()
		p.bye()
	}
}

// A clean session ends with its connection, in whatever way the connection ends.
func TestCleanSessionKeepsNothing(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for _, leave := range []func(*peer){(*peer).bye, (*peer).close} {
		p := b.clean("p")
		p.sub(2, "t")
		by.pub("t", "in flight", 2)
		p.next()
		leave(p)
		eventually(t, "the end of the session", func() bool { return b.stat("sessions") == 1 })
		require.Zero(t, b.stat("subscriptions"))
		by.pub("t", "m", 2)
		p = b.keep("p")
		p.quiet()
		p.bye()
		b.clean("p").bye()
		eventually(t, "the end of the session", func() bool { return b.stat("sessions") == 1 })
	}
}

// A clean session discards the kept one: subscriptions, messages that wait or are in flight, and received packet ids.
func TestCleanSessionDiscardsTheKeptOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by := b.clean("by")
	p := b.keep("p")
	p.sub(2, "t")
	for qos := packet.QOS(1); qos <= 2; qos++ {
		by.pub("t", "in flight", qos)
		p.next()
	}
	half := &packet.Publish{ID: 9, Message: message("u", "m", 2)}
	p.send(half)
	p.expect(&packet.Pubrec{ID: 9})
	p.close()
	by.pub("t", "waiting", 1)
	p = b.clean("p")
	p.quiet()
	p.close()
	require.Zero(t, b.stat("subscriptions"))
	eventually(t, "nothing stored", func() bool { return b.stat("stored_messages") == 0 })
	p = b.keep("p")
	p.quiet()
	p.sub(2, "u")
	p.send(half) // the id is free
	p.expect(&packet.Pubrec{ID: 9})
	require.Equal(t, "u=m at 2", text(p.next()))
	p.close()
	b.clean("p").bye()
	b.stop()
	b = startIn(t, dir, anyone) // and it does not come back with the hub
	p, present := b.session(hello("p", false))
	require.False(t, present)
	p.quiet()
}

// A new connection can take over the session at any time, also while the old one has a full window and reads nothing.
func TestTakeover(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	old := b.keep("p")
	old.sub(1, "t")
	for i := range 300 {
		by.pub("t", fmt.Sprint(i), 1)
	}
	begin := time.Now()
	p, present := b.session(hello("p", false))
	require.True(t, present)
	require.Less(t, time.Since(begin), scriptTimeout)
	for i := range 300 {
		require.Equal(t, fmt.Sprint(i), string(p.take().Message.Payload))
	}
	p.quiet()
	for { // the old connection is closed, after what had been sent already
		if _, err := old.read(); err != nil {
			break
		}
	}
}

// If a hundred connections with the same client id come at once, one is left, and that one works.
func TestTakeoverByHundredAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for round := range 4 {
		const count = 100
		var ended, ready atomic.Int64 // connections that ended; those that saw SUBACK and did not end
		var wg sync.WaitGroup
		got := make(chan *peer, count)
		for i := range count {
			p := b.dial()
			p.send(hello("same", (i+round)%2 == 0),
				&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 1}}})
			wg.Go(func() {
				subscribed := false
				for {
					x, err := p.in.Read()
					if err != nil {
						if subscribed {
							ready.Add(-1)
						}
						ended.Add(1)
						return
					}
					if _, ok := x.(*packet.Suback); ok {
						subscribed = true
						ready.Add(1)
					}
					if m, ok := x.(*packet.Publish); ok {
						p.ack(m)
						got <- p
						return
					}
				}
			})
		}
		eventually(t, "99 connections ended, the last subscribed",
			func() bool { return ended.Load() == count-1 && ready.Load() == 1 })
		require.EqualValues(t, 2, b.stat("sessions"))
		by.pub("t", "m", 1)
		wg.Wait()
		p := <-got
		p.quiet()
		p.bye()
		b.clean("same").bye()
		eventually(t, "the session's end", func() bool { return b.stat("sessions") == 1 })
	}
}

// A user can't take over the session of another user with its client id, and an attempt does not change the session.
func TestClientIDOfAnotherUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by := b.clean("by")
	ann := b.login(as("ann", "device", false))
	ann.sub(1, "ann/x")
	for _, clean := range []bool{true, false} {
		b.refused(as("bob", "device", clean), packet.IdentifierRejected) // while she is there
	}
	ann.quiet()
	ann.close()
	eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 1 })
	by.pub("ann/x", "1", 1)
	for _, clean := range []bool{true, false} {
		b.refused(as("bob", "device", clean), packet.IdentifierRejected) // while she is away
	}
	b.stop()
	b = startIn(t, dir, anyone)
	b.refused(as("bob", "device", true), packet.IdentifierRejected) // after a restart
	b.clean("by").pub("ann/x", "2", 1)
	ann, present := b.session(as("ann", "device", false))
	require.True(t, present)
	ann.want("ann/x", "1", 1)
	ann.want("ann/x", "2", 1)
	ann.quiet()
}

// Another user can't use the id of a clean session while its client is connected.
func TestClientIDOfAnotherUserWhileConnected(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	ann := b.login(as("ann", "device", true))
	b.refused(as("bob", "device", true), packet.IdentifierRejected)
	ann.quiet()
	ann.bye()
	eventually(t, "the session's end", func() bool { return b.stat("sessions") == 0 })
	b.login(as("bob", "device", true)).quiet()
}

// After a restart with another configuration, subscriptions that are no longer permitted bring nothing, and the
// sessions of removed users wait for them.
func TestSessionAfterChangeOfPermissions(t *testing.T) {
	t.Parallel()
	const narrow = `
listen: ['tcp://127.0.0.1:0']
principals:
- username: test
  password: hahaha
  permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]
- username: ann
  password: ann
  permissions: [{action: sub, permit: ['shared']}]
`
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	ann := b.login(as("ann", "a", false))
	ann.sub(1, "ann/x", "shared")
	bob := b.login(as("bob", "b", false))
	bob.sub(1, "bob/x")
	b.stop()
	b = startIn(t, dir, narrow)
	ann, present := b.session(as("ann", "a", false))
	require.True(t, present)
	by := b.clean("by")
	by.pub("ann/x", "m", 1)
	by.pub("shared", "m", 1)
	ann.want("shared", "m", 1)
	ann.quiet()
	b.refused(hello("b", false), packet.IdentifierRejected)
	b.refused(hello("b", true), packet.IdentifierRejected)
	b.stop()
	b = startIn(t, dir, anyone)
	b.clean("by").pub("bob/x", "m", 1)
	bob, present = b.session(as("bob", "b", false))
	require.True(t, present)
	bob.want("bob/x", "m", 1)
}

// Unacknowledged messages are sent again on the next connection, in the same order, with DUP and the same ids.
func TestRedeliveryOnReconnect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by := b.clean("by")
	p := b.keep("p")
	p.sub(2, "t")
	var ids []packet.ID
	for i := range 10 {
		by.pub("t", fmt.Sprint(i), packet.QOS(1+i%2))
		m := p.next()
		require.False(t, m.Dup)
		ids = append(ids, m.ID)
	}
	for round := range 4 {
		if round%2 == 0 {
			p.close()
		} else {
			b.stop()
			b = startIn(t, dir, anyone)
		}
		p = b.keep("p")
		for i := range 10 {
			m := p.next()
			require.Equal(t, fmt.Sprintf("t=%d at %d", i, 1+i%2), text(m))
			require.True(t, m.Dup)
			require.Equal(t, ids[i], m.ID)
		}
		p.quiet()
	}
}

// The hub sends no more unacknowledged messages than the window has.
func TestWindow(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {egress: {qos1: {buffer: {size: 7}}}}")
	by := b.clean("by")
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		p.sub(2, "t", "f")
		for i := range 20 {
			by.pub("t", fmt.Sprint(i), packet.QOS(1+i%2))
		}
		var flying []*packet.Publish
		for range 7 {
			flying = append(flying, p.next())
		}
		p.quiet()
		p.fence(by, "f") // QoS 0 is not held up
		for i := range 13 {
			x := flying[len(flying)-1] // the newest first: the others hold up nothing
			flying = flying[:len(flying)-1]
			p.ack(x)
			m := p.next()
			require.Equal(t, fmt.Sprint(7+i), string(m.Message.Payload))
			flying = append(flying, m)
			p.quiet()
		}
		p.bye()
	}
}

// 150 messages wait, 50 of them are acknowledged in random order, the connection ends: the other 100 come, each once.
func TestAcknowledgedInOddOrder(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		b := startIn(t, dir, anyone)
		by := b.clean("by")
		p := b.keep("p")
		p.sub(1, "t", "q/#")
		p.close()
		for i := range 150 {
			by.pub("t", fmt.Sprint(i), 1)
			by.pub("none", "matches nobody", 1)
		}
		p = b.keep("p")
		acked := map[string]bool{}
		var got []*packet.Publish
		for range 100 {
			got = append(got, p.next())
		}
		for i := 99; i >= 1; i -= 2 {
			p.send(&packet.Puback{ID: got[i].ID})
			acked[string(got[i].Message.Payload)] = true
			p.next() // the window has room again
		}
		require.Len(t, acked, 50)
		if restart {
			p.quiet()
			b.stop()
			b = startIn(t, dir, anyone)
		} else {
			p.close()
		}
		p = b.keep("p")
		for i := range 150 {
			if !acked[fmt.Sprint(i)] {
				m := p.take()
				require.Equal(t, fmt.Sprint(i), string(m.Message.Payload))
			}
		}
		p.quiet()
		p.close()
		p = b.keep("p")
		p.quiet()
		eventually(t, "nothing stored", func() bool { return b.stat("stored_messages") == 0 })
	}
}

// New messages over session.queue.max are dropped and counted; those in the queue stay.
func TestQueueLimit(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"session: {queue: {max: 10}}")
	by := b.clean("by")
	p := b.keep("p")
	p.sub(1, "t")
	p.close()
	eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 1 })
	for round := range 3 {
		for i := range 30 {
			by.pub("t", fmt.Sprint(i), 1)
		}
		eventually(t, "dropped_queue_full", func() bool { return b.stat("dropped_queue_full") == int64(20*(round+1)) })
		p = b.keep("p")
		for i := range 10 {
			p.want("t", fmt.Sprint(i), 1)
		}
		p.quiet()
		p.close()
		eventually(t, "the end of the connection", func() bool { return b.stat("connections") == 1 })
	}
	eventually(t, "nothing stored", func() bool { return b.stat("stored_messages") == 0 })
}
