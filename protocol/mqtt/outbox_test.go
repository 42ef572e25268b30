package mqtt

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// A peer that loses connections at any moment gets every message, in order, and sees no id twice at once.
func TestOutboxAgainstAModel(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		o := newOutbox(1+r.IntN(5), r.IntN(2)*100, r.IntN(2) == 0)
		var sent, done, first []int // messages added, finished, and first seen by the peer
		seen := map[int]bool{}
		var pending []packet.Generic // written, not yet read by the peer
		var answers []packet.Generic // written by the peer, not yet read
		held := map[packet.ID]bool{} // QoS 2 ids at the peer
		next := 0
		add := func() {
			next++
			n := next
			sent = append(sent, n)
			p := &publication{msg: Message{Topic: "t", QOS: uint32(r.IntN(3)), Payload: []byte(fmt.Sprint(n))}}
			p.done = func(err error) {
				if err != nil {
					t.Fatalf("seed %d: message %d: %v", seed, n, err)
				}
				done = append(done, n)
			}
			o.add(p)
		}
		step := func(lossy bool) {
			switch k := r.IntN(10); {
			case k < 3:
				pkts, _, qos0 := o.next(1 + r.IntN(4))
				pending = append(pending, pkts...)
				for _, p := range qos0 {
					p.finish(nil)
				}
				inUse := map[packet.ID]bool{}
				for _, p := range o.flight {
					require.False(t, inUse[p.id], "seed %d: id twice in flight", seed)
					require.NotEqual(t, subscribeID, p.id)
					inUse[p.id] = true
				}
				require.LessOrEqual(t, len(o.flight), o.window)
			case k < 6 && len(pending) > 0:
				p := pending[0]
				pending = pending[1:]
				switch p := p.(type) {
				case *packet.Publish:
					var n int
					fmt.Sscan(string(p.Message.Payload), &n)
					if p.Message.QOS > 0 && !seen[n] {
						require.False(t, p.Dup && len(first) > 0 && first[len(first)-1] > n, "seed %d: out of order", seed)
						first = append(first, n)
						seen[n] = true
					}
					switch p.Message.QOS {
					case 1:
						answers = append(answers, &packet.Puback{ID: p.ID})
					case 2:
						held[p.ID] = true
						answers = append(answers, &packet.Pubrec{ID: p.ID})
					}
				case *packet.Pubrel:
					delete(held, p.ID)
					answers = append(answers, &packet.Pubcomp{ID: p.ID})
				}
			case k < 9 && len(answers) > 0:
				a := answers[0]
				answers = answers[1:]
				var p *publication
				switch a := a.(type) {
				case *packet.Puback:
					p = o.acked(a.ID, 1)
				case *packet.Pubrec:
					o.received(a.ID)
					pending = append(pending, &packet.Pubrel{ID: a.ID})
				case *packet.Pubcomp:
					p = o.acked(a.ID, 2)
				}
				if p != nil {
					p.finish(nil)
				}
			case k == 9 && lossy:
				require.Nil(t, o.lost(r.IntN(2) == 0))
				pending, answers = nil, nil
				o.connected(true)
			}
		}
		for range 300 {
			if r.IntN(4) == 0 {
				add()
			}
			step(r.IntN(5) == 0)
		}
		for i := 0; !o.empty(); i++ {
			require.Less(t, i, 100000, "seed %d: stuck with %d in flight, %d queued", seed, len(o.flight), len(o.queue))
			step(false)
		}
		require.ElementsMatch(t, sent, done, "seed %d", seed)
		require.IsIncreasing(t, append([]int{-1, 0}, first...), "seed %d: order of first sight", seed)
	}
}

func TestKeepAliveDue(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		name                     string
		now, sent, heard, pinged time.Duration
		ping, dead               bool
		wait                     time.Duration
	}{
		{"fresh", 1 * s, 1 * s, 1 * s, 0, false, false, 10 * s},
		{"quiet", 11 * s, 1 * s, 1 * s, 0, true, false, 0},
		{"busy sender hears nothing", 11 * s, 11 * s, 1 * s, 0, true, false, 0},
		{"busy receiver sends nothing", 11 * s, 1 * s, 11 * s, 0, true, false, 0},
		{"waiting for the pong", 12 * s, 11 * s, 1 * s, 11 * s, false, false, 4 * s},
		{"no pong", 16 * s, 11 * s, 1 * s, 11 * s, false, true, 0},
		{"pong came", 13 * s, 11 * s, 12 * s, 11 * s, false, false, 8 * s},
	} {
		ping, dead, wait := keepAliveDue(c.now, c.sent, c.heard, c.pinged, c.pinged, 10*s, 5*s)
		require.Equal(t, []any{c.ping, c.dead, c.wait}, []any{ping, dead, wait}, c.name)
	}
	ping, dead, _ := keepAliveDue(time.Hour, 0, 0, 0, 0, 0, s)
	require.False(t, ping || dead, "keepalive: 0 is off")
}

func TestInboxBounds(t *testing.T) {
	in := newInbox(false)
	in.connected(false)
	small := &Delivery{Message: Message{Topic: "t"}}
	room := receiveBytes/cost(small) - 1
	require.Greater(t, room, 200000, "a burst of small messages")
	for range room {
		require.True(t, in.add(small))
	}
	require.True(t, in.add(&Delivery{Message: Message{Topic: "t", QOS: 1}}), "QoS 1 is never dropped")
	for range 5 {
		require.True(t, in.add(small))
	}
	require.Equal(t, uint64(5), in.dropped)
	big := &Delivery{Message: Message{Topic: "t", QOS: 1, Payload: make([]byte, receiveBytes)}}
	require.False(t, in.add(big), "QoS 1 beyond receiveBytes is refused")
	for range room {
		_, ok := in.next()
		require.True(t, ok)
	}
	// The connection ends: what the peer will send again waits for the next connection, then goes.
	in.online = false
	_, ok := in.next()
	require.False(t, ok)
	for i := range eventLimit + 3 {
		in.addEvent(func() { _ = i })
	}
	for range eventLimit {
		e, ok := in.next()
		require.True(t, ok)
		require.NotNil(t, e.event, "an event passes")
	}
	in.connected(true)
	_, ok = in.next()
	require.False(t, ok)
	require.Zero(t, in.bytes)
	// A peer without the session does not send it again.
	in.add(&Delivery{Message: Message{Topic: "t", QOS: 1}})
	in.connected(false)
	_, ok = in.next()
	require.True(t, ok)
}

// With a probe, a message is given up at the poison limit only if the peer takes other messages. A peer that closes on
// everything costs a message at four times the limit.
func TestProbe(t *testing.T) {
	const limit = 3
	poison := &publication{msg: Message{Topic: "t", QOS: 1}}
	other := func(qos uint32) *publication { return &publication{msg: Message{Topic: "t", QOS: qos}} }
	for _, c := range []struct {
		name     string
		others   []*publication
		well     bool // the peer takes the others
		connects int  // until poison is given up
	}{
		{"no other message", nil, true, 4 * limit},
		{"QoS 0 is not answered", []*publication{other(0)}, true, 4 * limit},
		{"another is taken", []*publication{other(1)}, true, 1 + limit + 1}, // the first time both were unanswered
		{"nothing is taken", []*publication{other(1)}, false, 1 + limit + limit + 3*limit},
		{"nothing is taken, more wait", []*publication{other(1), other(2), other(1), other(1)}, false, 1 + 5*limit + 3*limit},
	} {
		o := newOutbox(10, limit, true)
		*poison = publication{msg: poison.msg}
		for _, p := range append([]*publication{poison}, c.others...) {
			*p = publication{msg: p.msg}
			o.add(p)
		}
		connects, given := 0, (*publication)(nil)
		for given == nil && connects < 100 {
			connects++
			for closed := false; !closed; {
				pkts, _, _ := o.next(10)
				require.NotEmpty(t, pkts, c.name)
				for _, p := range pkts {
					id := p.(*packet.Publish).ID
					if closed = id != 0 && (o.byID[id] == poison || !c.well); closed {
						break
					}
					o.acked(id, 1)
				}
			}
			given = o.lost(true)
		}
		require.Same(t, poison, given, c.name)
		require.Equal(t, c.connects, connects, c.name)
	}
}
