package conformance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// A message is delivered with the lower QoS of publication and subscription, to clean and to kept sessions.
func TestQualityOfDelivery(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for _, clean := range []bool{true, false} {
		sub := b.login(hello(fmt.Sprintf("sub-%t", clean), clean))
		for published := packet.QOS(0); published <= 2; published++ {
			for asked := packet.QOS(0); asked <= 2; asked++ {
				name := fmt.Sprintf("t/%d/%d", published, asked)
				sub.sub(asked, name)
				by.pub(name, "m", published)
				m := sub.want(name, "m", min(published, asked))
				require.False(t, m.Dup)
				require.False(t, m.Message.Retain)
				sub.quiet()
			}
		}
	}
}

// A session gets one copy of a message however many of its filters match, with the highest QoS of them.
func TestOverlappingFilters(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for _, clean := range []bool{true, false} {
		sub := b.login(hello(fmt.Sprintf("sub-%t", clean), clean))
		sub.sub(0, "a/b", "f")
		sub.sub(2, "a/+")
		sub.sub(1, "a/#", "#")
		by.pub("a/b", "m", 2)
		sub.want("a/b", "m", 2)
		by.pub("a/b", "m", 0)
		sub.want("a/b", "m", 0)
		by.pub("a/b/c", "m", 2)
		sub.want("a/b/c", "m", 1)
		sub.fence(by, "f")
	}
}

// A publication without permission closes the connection, and the message is not delivered.
func TestForbiddenPublish(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(1, "#")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		p := b.login(as("ann", "ann", true))
		p.send(&packet.Publish{ID: 1, Message: message("bob/x", "secret", qos)})
		p.end()
	}
	require.EqualValues(t, 3, b.stat("forbidden"))
	watch.fence(by, "f")
}

// A session gets what it publishes itself.
func TestOwnMessages(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		p.sub(2, "t")
		p.send(&packet.Publish{ID: 1, Message: message("t", "m", 2)})
		p.expect(&packet.Pubrec{ID: 1})
		m := p.next()
		require.Equal(t, "t=m at 2", text(m))
		p.send(&packet.Pubrel{ID: 1})
		p.expect(&packet.Pubcomp{ID: 1})
		p.ack(m)
		p.quiet()
	}
}

// Messages of one publisher are delivered in order, also with different QoS, while the subscriber's window has room.
func TestOrderOfMixedQualities(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	const count = 90 // less than a window
	for _, clean := range []bool{true, false} {
		sub, by := b.login(hello(fmt.Sprintf("sub-%t", clean), clean)), b.clean("by")
		sub.sub(2, "t")
		var all []packet.Generic
		for i := range count {
			all = append(all, &packet.Publish{ID: packet.ID(i + 1), Message: message("t", fmt.Sprint(i), packet.QOS(i%3))})
		}
		by.send(all...)
		for i := range count {
			require.Equal(t, fmt.Sprintf("t=%d at %d", i, i%3), text(sub.next()))
		}
	}
}

// With a window that is much smaller than the number of messages, those of each publisher are in order per QoS.
func TestOrderThroughASmallWindow(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {egress: {qos1: {buffer: {size: 3}}}}")
	const count = 200
	for qos := packet.QOS(1); qos <= 2; qos++ {
		for _, clean := range []bool{true, false} {
			sub := b.login(hello("sub", clean))
			sub.sub(2, "+/t")
			done := make(chan struct{})
			for k := range 2 {
				by := b.clean(fmt.Sprint("by", k))
				go func() {
					defer func() { done <- struct{}{} }()
					for i := range count {
						by.pub(fmt.Sprintf("%d/t", k), fmt.Sprint(i), qos)
					}
				}()
			}
			next := map[string]int{}
			for range 2 * count {
				m := sub.take()
				require.Equal(t, fmt.Sprint(next[m.Message.Topic]), string(m.Message.Payload))
				next[m.Message.Topic]++
			}
			<-done
			<-done
			sub.settle()
			sub.bye()
		}
	}
}

// PUBREC and PUBACK are sent in the order of the PUBLISH packets, PUBCOMP in the order of PUBREL.
func TestOrderOfReceipts(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	keep := b.keep("keep")
	keep.sub(1, "kept") // so that some messages are stored and some are not
	by := b.keep("by")
	topics := []string{"kept", "free"}
	for _, qos := range []packet.QOS{1, 2} {
		var all, rel []packet.Generic
		for i := range 60 {
			all = append(all, &packet.Publish{ID: packet.ID(i + 1), Message: message(topics[i%2], "m", qos)})
			rel = append(rel, &packet.Pubrel{ID: packet.ID(i + 1)})
		}
		by.send(all...)
		for i := range 60 {
			if qos == 1 {
				by.expect(&packet.Puback{ID: packet.ID(i + 1)})
			} else {
				by.expect(&packet.Pubrec{ID: packet.ID(i + 1)})
			}
		}
		if qos == 2 {
			by.send(rel...)
			for i := range 60 {
				by.expect(&packet.Pubcomp{ID: packet.ID(i + 1)})
			}
		}
	}
}

// A QoS 2 message that is sent twice before PUBREL is published once. After PUBREL its id stands for another message.
func TestRepeatedPublish(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, clean := range []bool{true, false} {
		watch, by := b.clean("watch"), b.login(hello(fmt.Sprintf("by-%t", clean), clean))
		watch.sub(2, "#")
		x := &packet.Publish{ID: 7, Message: message("t", "m", 2)}
		by.send(x)
		by.expect(&packet.Pubrec{ID: 7})
		watch.want("t", "m", 2)
		again := *x
		again.Dup = true
		for range 3 {
			by.send(&again)
			by.expect(&packet.Pubrec{ID: 7})
		}
		by.send(x) // also without DUP: it is the id that counts
		by.expect(&packet.Pubrec{ID: 7})
		for range 2 {
			by.send(&packet.Pubrel{ID: 7})
			by.expect(&packet.Pubcomp{ID: 7})
		}
		watch.quiet()
		by.send(x)
		by.expect(&packet.Pubrec{ID: 7})
		watch.want("t", "m", 2)
		by.send(&packet.Pubrel{ID: 7})
		by.expect(&packet.Pubcomp{ID: 7})
		// QoS 1 is at least once: each PUBLISH is a message.
		for _, dup := range []bool{false, true} {
			by.send(&packet.Publish{ID: 7, Dup: dup, Message: message("t", "m1", 1)})
			by.expect(&packet.Puback{ID: 7})
			m := watch.want("t", "m1", 1)
			require.False(t, m.Dup) // DUP is of one connection, it is not passed on
		}
	}
}

// The packet ids of the hub and those of the client are independent.
func TestSameIDInBothDirections(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p, by := b.keep("p"), b.clean("by")
	p.sub(2, "t")
	by.pub("t", "in", 2)
	in := p.next()
	p.send(&packet.Publish{ID: in.ID, Message: message("u", "out", 2)})
	p.expect(&packet.Pubrec{ID: in.ID})
	p.send(&packet.Pubrec{ID: in.ID})
	p.expect(&packet.Pubrel{ID: in.ID})
	p.send(&packet.Pubrel{ID: in.ID})
	p.expect(&packet.Pubcomp{ID: in.ID})
	p.send(&packet.Pubcomp{ID: in.ID})
	by.pub("t", "next", 1)
	require.NotEqual(t, in.ID, p.want("t", "next", 1).ID)
	p.quiet()
}

// The packet ids that the hub has in use are different, and never 0.
func TestPacketIDsInFlightDiffer(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, clean := range []bool{true, false} {
		sub, by := b.login(hello("sub", clean)), b.clean("by")
		sub.sub(2, "t")
		for i := range 100 {
			by.pub("t", "m", packet.QOS(1+i%2))
		}
		seen := map[packet.ID]bool{}
		for range 100 {
			m := sub.next()
			require.NotZero(t, m.ID)
			require.False(t, seen[m.ID], "id %d twice", m.ID)
			seen[m.ID] = true
		}
		sub.bye()
	}
}

// A message may have an empty payload.
func TestEmptyPayload(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	sub, by := b.keep("sub"), b.clean("by")
	sub.sub(2, "t")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		by.pub("t", "", qos)
		sub.want("t", "", qos)
	}
}

// A message is stored before PUBACK: acknowledged messages are there after a restart.
func TestAcknowledgedIsStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	sub := b.keep("sub")
	sub.sub(2, "t")
	sub.close()
	by := b.clean("by")
	for i := range 300 {
		by.pub("t", fmt.Sprint(i), packet.QOS(1+i%2))
	}
	b.stop()
	b = startIn(t, dir, anyone)
	sub, present := b.session(hello("sub", false))
	require.True(t, present)
	for i := range 300 {
		require.Equal(t, fmt.Sprintf("t=%d at %d", i, 1+i%2), text(sub.take()))
	}
	sub.settle()
	eventually(t, "nothing stored", func() bool { return b.stat("stored_messages") == 0 })
}

// Each unacknowledged message is sent again after retry.interval, with DUP and the same id.
func TestRetryInterval(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {egress: {qos1: {retry: {interval: 1s}}}}")
	for _, clean := range []bool{true, false} {
		sub, by := b.login(hello(fmt.Sprintf("sub-%t", clean), clean)), b.clean("by")
		sub.sub(2, "t")
		first, again := map[packet.ID]string{}, map[packet.ID]string{}
		repeated := func(m *packet.Publish) {
			require.True(t, m.Dup)
			require.Equal(t, first[m.ID], text(m))
			again[m.ID] = text(m)
		}
		begin := time.Now()
		for i := range 5 {
			by.pub("t", fmt.Sprint(i), packet.QOS(1+i%2))
			m := sub.next()
			for ; m.Dup; m = sub.next() { // on a busy machine the interval has passed already
				repeated(m)
			}
			first[m.ID] = text(m)
			if i == 2 { // one in the middle is done
				sub.send(&packet.Puback{ID: m.ID})
				sub.send(packet.NewPingreq())
				x := sub.recv()
				for ; x.Type() == packet.PUBLISH; x = sub.recv() {
					repeated(x.(*packet.Publish))
				}
				require.Equal(t, packet.PINGRESP, x.Type())
				delete(first, m.ID)
				delete(again, m.ID)
			}
		}
		for len(again) < len(first) {
			repeated(sub.next())
		}
		require.GreaterOrEqual(t, time.Since(begin), 900*time.Millisecond)
		sub.close()
	}
}

// PUBREL is sent again too.
func TestRetryOfPubrel(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"message: {egress: {qos1: {retry: {interval: 1s}}}}")
	sub, by := b.keep("sub"), b.clean("by")
	sub.sub(2, "t")
	by.pub("t", "m", 2)
	m := sub.next()
	sub.send(&packet.Pubrec{ID: m.ID})
	sub.expect(&packet.Pubrel{ID: m.ID}, &packet.Pubrel{ID: m.ID})
	sub.send(&packet.Pubcomp{ID: m.ID})
	sub.send(packet.NewPingreq())
	x := sub.recv()
	for ; x.Type() == packet.PUBREL; x = sub.recv() { // on a busy machine the interval has passed once more
		require.Equal(t, m.ID, x.(*packet.Pubrel).ID)
	}
	require.Equal(t, packet.PINGRESP, x.Type())
	sub.quiet()
}
