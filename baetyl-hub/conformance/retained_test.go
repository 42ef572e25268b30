package conformance_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// wantRetained fails unless the next message has this content and the retain flag.
func (p *peer) wantRetained(topic, payload string, qos packet.QOS) *packet.Publish {
	p.t.Helper()
	m := p.want(topic, payload, qos)
	require.True(p.t, m.Message.Retain, "retain flag missing")
	return m
}

func TestRetained(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		b := start(t, anyone)
		by, live := b.clean("by"), b.clean("live")
		live.sub(2, "r/#")
		for qos := packet.QOS(0); qos <= 2; qos++ {
			by.retain(fmt.Sprint("r/", qos), "old", 2-qos)
			live.want(fmt.Sprint("r/", qos), "old", 2-qos)
			by.retain(fmt.Sprint("r/", qos), fmt.Sprint(qos), qos) // the last one counts, with its quality
			m := live.want(fmt.Sprint("r/", qos), fmt.Sprint(qos), qos)
			require.False(t, m.Message.Retain) // for whom it is new it has no flag
		}
		for asked := packet.QOS(0); asked <= 2; asked++ {
			for round := range 2 { // subscribing again brings it again
				p := b.login(hello("p", clean && round == 0))
				p.sub(asked, "f")
				for qos := packet.QOS(0); qos <= 2; qos++ {
					p.sub(asked, fmt.Sprint("r/", qos))
					m := p.wantRetained(fmt.Sprint("r/", qos), fmt.Sprint(qos), min(qos, asked))
					require.False(t, m.Dup)
				}
				p.fence(by, "f")
				p.bye()
			}
		}
	}
}

// Overlapping filters of one SUBSCRIBE bring a retained message once, with the highest QoS.
func TestRetainedOncePerSubscribe(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	b.clean("by").retain("r/x", "m", 2)
	p := b.clean("p")
	p.send(
		&packet.Subscribe{
			ID:            1,
			Subscriptions: []packet.Subscription{{Topic: "r/+", QOS: 0}, {Topic: "#", QOS: 1}, {Topic: "r/x", QOS: 0}},
		},
	)
	p.expect(&packet.Suback{ID: 1, ReturnCodes: []packet.QOS{0, 1, 0}})
	p.wantRetained("r/x", "m", 1)
	p.quiet()
}

// A message with the retain flag and an empty payload removes the retained message. Without the flag it does not. It is
// delivered like any other message.
func TestEmptyPayloadRemovesRetained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by, live := b.clean("by"), b.clean("live")
	live.sub(0, "r")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		by.retain("r", "m", qos)
		live.want("r", "m", 0)
		by.pub("r", "", 2-qos) // no flag: it stays
		live.want("r", "", 0)
		by.pub("r", "other", qos)
		live.want("r", "other", 0)
		p := b.clean("p")
		p.sub(2, "r")
		p.wantRetained("r", "m", qos)
		p.bye()
		by.retain("r", "", qos)
		m := live.want("r", "", 0)
		require.False(t, m.Message.Retain)
		p = b.clean("p")
		p.sub(2, "r")
		p.quiet()
		p.bye()
	}
	by.retain("never/there", "", 1)
	b.stop()
	b = startIn(t, dir, anyone)
	p := b.clean("p")
	p.sub(2, "#")
	p.quiet()
}

// A retained message survives its client and a restart of the hub, also with QoS 0.
func TestRetainedSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by := b.clean("by")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		by.retain(fmt.Sprint("r/", qos), "m", qos)
	}
	by.bye()
	b.stop()
	b = startIn(t, dir, anyone)
	p := b.clean("p")
	p.sub(2, "r/+")
	got := map[string]bool{}
	for range 3 {
		m := p.take()
		require.True(t, m.Message.Retain)
		got[text(m)] = true
	}
	require.Equal(t, map[string]bool{"r/0=m at 0": true, "r/1=m at 1": true, "r/2=m at 2": true}, got)
	p.settle()
}

// A retained message of QoS 1 or 2 is sent until it is acknowledged, over connections and restarts, with the flag.
func TestRetainedIsRedelivered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	by := b.clean("by")
	by.retain("r", "m", 1)
	p := b.keep("p")
	p.sub(1, "r")
	first := p.next()
	require.False(t, first.Dup)
	p.close()
	for range 2 {
		by.retain("r", "newer", 0) // what is on its way stays what it was
		p = b.keep("p")
		again := p.next()
		require.Equal(t, "r=m at 1", text(again))
		require.True(t, again.Dup)
		require.True(t, again.Message.Retain)
		require.Equal(t, first.ID, again.ID)
		p.close()
		b.stop()
		b = startIn(t, dir, anyone)
		by = b.clean("by")
	}
	p = b.keep("p")
	p.wantRetained("r", "m", 1)
	p.quiet()
	p.close()
	p = b.keep("p") // without SUBSCRIBE nothing comes again
	p.quiet()
}

// While a publisher counts up, a new subscriber never gets a smaller number after a larger one.
func TestRetainedNeverAfterNewer(t *testing.T) {
	t.Parallel()
	for qos := range packet.QOS(2) {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("qos %d clean %t", qos, clean), func(t *testing.T) {
				t.Parallel()
				b := start(t, anyone)
				stop := make(chan struct{})
				var wg sync.WaitGroup
				const burstSize = 400
				by := b.clean("by")
				wg.Go(func() {
					for i := 0; ; {
						select {
						case <-stop:
							return
						default:
						}
						var burst []packet.Generic // so that some are always being stored
						for range burstSize {
							i++
							m := message("r", strconv.Itoa(i), qos)
							m.Retain = true
							burst = append(burst, &packet.Publish{ID: packet.ID(1 + i%60000), Message: m})
						}
						by.send(burst...)
						if qos == 0 {
							by.quiet()
						}
						for range burstSize * int(qos) {
							by.recv()
						}
					}
				})
				for round := range 60 {
					p := b.login(hello(fmt.Sprint("p", round%3), clean))
					p.sub(qos, "r")
					last := -1
					for range 20 {
						m := p.take()
						n, err := strconv.Atoi(string(m.Message.Payload))
						require.NoError(t, err)
						require.GreaterOrEqual(t, n, last, "older after newer")
						last = n
					}
					p.close()
					b.clean(fmt.Sprint("p", round%3)).bye() // what has piled up is of no interest
				}
				close(stop)
				wg.Wait()
			})
		}
	}
}
