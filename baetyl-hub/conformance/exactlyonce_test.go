package conformance_test

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// A QoS 2 message to the hub is published once, at whatever point of the exchange the connection or the hub ends.
func TestExactlyOnceIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	watch := b.keep("watch")
	watch.sub(1, "t")
	breaks := map[string]func(){
		"connection": func() {},
		"hub": func() {
			b.stop()
			b = startIn(t, dir, anyone)
		},
	}
	for name, interrupt := range breaks {
		x := &packet.Publish{ID: 5, Message: message("t", name, 2)}
		again := *x
		again.Dup = true
		p := b.keep("p")
		p.send(x)
		p.expect(&packet.Pubrec{ID: 5})
		p.close()
		interrupt()
		p = b.keep("p")
		p.send(&again) // PUBREC was lost
		p.expect(&packet.Pubrec{ID: 5})
		p.send(&packet.Pubrel{ID: 5})
		p.expect(&packet.Pubcomp{ID: 5})
		p.close()
		interrupt()
		p = b.keep("p")
		p.send(&packet.Pubrel{ID: 5}) // PUBCOMP was lost
		p.expect(&packet.Pubcomp{ID: 5})
		p.send(x) // another message with the same id
		p.expect(&packet.Pubrec{ID: 5})
		p.close()
		interrupt()
		p = b.keep("p")
		p.send(&packet.Pubrel{ID: 5})
		p.expect(&packet.Pubcomp{ID: 5})
		p.bye()
		if name == "hub" {
			watch = b.keep("watch")
		}
		watch.want("t", name, 1)
		watch.want("t", name, 1)
		watch.quiet()
	}
}

// A QoS 2 message from the hub is sent until PUBREC, then released until PUBCOMP, and never published again after
// PUBREC.
func TestExactlyOnceOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	breaks := map[string]func(){
		"connection": func() {},
		"hub": func() {
			b.stop()
			b = startIn(t, dir, anyone)
		},
	}
	for name, interrupt := range breaks {
		p := b.keep("p")
		p.sub(2, "t")
		b.clean("by").pub("t", name, 2)
		first := p.next()
		p.close()
		interrupt()
		p = b.keep("p")
		again := p.next()
		require.True(t, again.Dup)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, text(first), text(again))
		p.send(&packet.Pubrec{ID: first.ID})
		p.expect(&packet.Pubrel{ID: first.ID})
		for range 2 {
			p.close()
			interrupt()
			p = b.keep("p")
			p.expect(&packet.Pubrel{ID: first.ID}) // PUBREL or PUBCOMP was lost
		}
		p.send(&packet.Pubrec{ID: first.ID}) // a repetition is answered
		p.expect(&packet.Pubrel{ID: first.ID})
		p.send(&packet.Pubcomp{ID: first.ID})
		p.quiet()
		p.close()
		interrupt()
		p = b.keep("p")
		p.quiet()
		p.bye()
	}
}

// After a reconnect PUBREL and PUBLISH are sent in the order in which the exchanges began.
func TestReleaseAndPublishInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	p := b.keep("p")
	p.sub(2, "t")
	by := b.clean("by")
	var got []*packet.Publish
	for i := range 6 {
		by.pub("t", fmt.Sprint(i), 2)
		got = append(got, p.next())
	}
	for _, i := range []int{4, 1} { // two of them get as far as PUBREL
		p.send(&packet.Pubrec{ID: got[i].ID})
		p.expect(&packet.Pubrel{ID: got[i].ID})
	}
	for round := range 2 {
		if round == 0 {
			p.close()
		} else {
			b.stop()
			b = startIn(t, dir, anyone)
		}
		p = b.keep("p")
		for i := range 6 {
			if i == 4 || i == 1 {
				p.expect(&packet.Pubrel{ID: got[i].ID})
			} else {
				require.Equal(t, fmt.Sprintf("t=%d at 2", i), text(p.next()))
			}
		}
		p.quiet()
	}
}

// PUBREL packets are sent in the order of the PUBREC packets; PUBCOMP may come in any order.
func TestOrderOfReleases(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, clean := range []bool{true, false} {
		p, by := b.login(hello("p", clean)), b.clean("by")
		p.sub(2, "t")
		var recs, comps []packet.Generic
		for i := range 60 {
			by.pub("t", fmt.Sprint(i), 2)
			m := p.next()
			recs = append(recs, &packet.Pubrec{ID: m.ID})
			comps = append([]packet.Generic{&packet.Pubcomp{ID: m.ID}}, comps...)
		}
		p.send(recs...)
		for _, x := range recs {
			p.expect(&packet.Pubrel{ID: x.(*packet.Pubrec).ID})
		}
		p.send(comps...)
		p.quiet()
		p.bye()
	}
}

// receiver is a client that recognizes repeated QoS 2 messages by their ids, until they are released.
type receiver struct {
	open map[packet.ID]bool
	seen map[string]int
}

// A client drops its connection at random moments, and the hub is restarted now and then: each message is seen once,
// in order.
func TestExactlyOnceWithInterruptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yml := anyone + "storage: {sync: none}" // a restart, not a power loss
	b := startIn(t, dir, yml)
	p := b.keep("p")
	p.sub(2, "t")
	const count = 400
	by := b.clean("by")
	for i := range count {
		by.pub("t", fmt.Sprint(i), 2)
	}
	random := rand.New(rand.NewSource(1))
	r := receiver{open: map[packet.ID]bool{}, seen: map[string]int{}}
	order := 0
	for round := 0; len(r.seen) < count || len(r.open) > 0; round++ {
		require.Less(t, round, 2000, "no end")
		for pings := 1 + random.Intn(4); pings > 0; { // reads until PINGRESP, so the test never waits in vain
			p.send(packet.NewPingreq())
			for reading := true; reading; {
				switch x := p.recv().(type) {
				case *packet.Publish:
					if !r.open[x.ID] {
						r.open[x.ID] = true
						r.seen[string(x.Message.Payload)]++
						require.Equal(t, fmt.Sprint(order), string(x.Message.Payload))
						order++
					}
					if random.Intn(4) > 0 {
						p.send(&packet.Pubrec{ID: x.ID})
					}
				case *packet.Pubrel:
					delete(r.open, x.ID)
					if random.Intn(4) > 0 {
						p.send(&packet.Pubcomp{ID: x.ID})
					}
				case *packet.Pingresp:
					reading = false
					pings--
				}
				if random.Intn(40) == 0 {
					reading, pings = false, 0
				}
			}
		}
		p.close()
		if random.Intn(4) == 0 {
			b.stop()
			b = startIn(t, dir, yml)
		}
		p = b.keep("p")
	}
	for name, n := range r.seen {
		require.Equal(t, 1, n, name)
	}
}

// A publisher drops its connection at random moments: each message is published once, in order.
func TestExactlyOncePublisherWithInterruptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yml := anyone + "storage: {sync: none}"
	b := startIn(t, dir, yml)
	watch := b.keep("watch")
	watch.sub(1, "t")
	watch.close()
	random := rand.New(rand.NewSource(2))
	p := b.keep("p")
	const count = 200
	drop := func() bool {
		if random.Intn(5) > 0 {
			return false
		}
		p.close()
		if random.Intn(4) == 0 {
			b.stop()
			b = startIn(t, dir, yml)
		}
		p = b.keep("p")
		return true
	}
	// PUBREC may come twice: for the PUBLISH on the old connection and for its repetition on the new one.
	await := func(kind packet.Type, id packet.ID) {
		for {
			x := p.recv()
			if got, ok := packet.GetID(x); ok && got == id && x.Type() == kind {
				return
			}
			require.Equal(t, packet.PUBREC, x.Type())
		}
	}
	for i := range count {
		x := &packet.Publish{ID: packet.ID(1 + i%3), Message: message("t", fmt.Sprint(i), 2)}
		for {
			p.send(x)
			x.Dup = true
			if drop() {
				continue
			}
			await(packet.PUBREC, x.ID)
			if !drop() {
				break
			}
		}
		for {
			p.send(&packet.Pubrel{ID: x.ID})
			if drop() {
				continue
			}
			await(packet.PUBCOMP, x.ID)
			break
		}
	}
	watch = b.keep("watch")
	for i := range count {
		require.Equal(t, fmt.Sprint(i), string(watch.take().Message.Payload))
	}
	watch.quiet()
}

// A QoS 2 exchange continues on a second connection, at whatever step the first one ends: the second one gets an answer
// for each of its packets, in order, and no other. Here it depends on chance what the store has written by then; the
// test TestExchangeOverTwoConnections of package session blocks the store instead.
func TestQOS2OverTwoConnections(t *testing.T) {
	t.Parallel()
	const id = 5
	var publish packet.Generic = &packet.Publish{ID: id, Message: message("t", "m", 2)}
	var rel packet.Generic = &packet.Pubrel{ID: id}
	answers := map[packet.Generic]packet.Generic{publish: &packet.Pubrec{ID: id}, rel: &packet.Pubcomp{ID: id}}
	b := start(t, anyone)
	watch := b.keep("watch")
	watch.sub(2, "t")
	want := 0
	for _, script := range []struct{ first, second []packet.Generic }{
		{[]packet.Generic{publish}, nil},
		{[]packet.Generic{publish}, []packet.Generic{publish}},
		{[]packet.Generic{publish}, []packet.Generic{publish, publish}},
		{[]packet.Generic{publish}, []packet.Generic{publish, rel}},
		{[]packet.Generic{publish, rel}, []packet.Generic{rel}},
		{[]packet.Generic{publish, rel}, []packet.Generic{rel, rel}},
	} {
		for range 5 {
			p := b.keep("p")
			p.send(script.first...)
			p.send(packet.NewPingreq())
			for p.recv().Type() != packet.PINGRESP { // the hub has it; answers to it may come before
			}
			p = b.keep("p") // takes the session over
			p.send(script.second...)
			for _, x := range script.second {
				p.expect(answers[x])
			}
			p.send(rel) // completes it, if it is not
			p.expect(answers[rel])
			p.quiet()
			p.bye()
			want++
		}
	}
	for range want {
		watch.take()
	}
	watch.settle()
}
