package conformance_test

import (
	"fmt"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

func routed(list string) string { return anyone + "subscriptions:\n" + list }

// The QoS of a copy is that of the target, or 0 if the message or the source has QoS 0.
func TestRouteQuality(t *testing.T) {
	t.Parallel()
	list := ""
	for s := range 2 {
		for g := range 2 {
			list += fmt.Sprintf("- {source: {topic: 's/%d/%d', qos: %d}, target: {topic: 't/%d/%d', qos: %d}}\n", s, g, s, s,
				g, g)
		}
	}
	b := start(t, routed(list))
	p, by := b.keep("p"), b.clean("by")
	p.sub(2, "t/#", "f")
	for published := packet.QOS(0); published <= 2; published++ {
		for s := range packet.QOS(2) {
			for g := range packet.QOS(2) {
				by.pub(fmt.Sprintf("s/%d/%d", s, g), "m", published)
				want := packet.QOS(0)
				if published > 0 && s > 0 {
					want = g
				}
				p.want(fmt.Sprintf("t/%d/%d", s, g), "m", want)
			}
		}
	}
	p.fence(by, "f")
}

// A copy takes further routes. The message itself is delivered too. A copy is not retained.
func TestRouteChain(t *testing.T) {
	t.Parallel()
	b := start(t, routed(`
- {source: {topic: a, qos: 1}, target: {topic: b, qos: 1}}
- {source: {topic: b, qos: 1}, target: {topic: c/d, qos: 1}}
- {source: {topic: c/+, qos: 1}, target: {topic: e, qos: 0}}
`))
	by := b.clean("by")
	m := message("a", "m", 1)
	m.Retain = true
	by.publish(m)
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		p.sub(1, "a", "b", "c/#", "e")
		p.wantRetained("a", "m", 1)
		p.quiet()
		by.pub("a", "n", 2)
		got := map[string]bool{}
		for range 4 {
			got[text(p.take())] = true
		}
		require.Equal(t, map[string]bool{"a=n at 1": true, "b=n at 1": true, "c/d=n at 1": true, "e=n at 0": true}, got)
		by.pub("b", "o", 1)
		got = map[string]bool{}
		for range 3 {
			got[text(p.take())] = true
		}
		require.Equal(t, map[string]bool{"b=o at 1": true, "c/d=o at 1": true, "e=o at 0": true}, got)
		p.quiet()
		p.bye()
	}
}

// Routes to one target make one copy: the highest source QoS counts, then the highest target QoS.
func TestRoutesToOneTarget(t *testing.T) {
	t.Parallel()
	b := start(t, routed(`
- {source: {topic: 'a/#', qos: 0}, target: {topic: t, qos: 1}}
- {source: {topic: 'a/+', qos: 1}, target: {topic: t, qos: 0}}
- {source: {topic: a/x, qos: 1}, target: {topic: t, qos: 1}}
- {source: {topic: a/x, qos: 1}, target: {topic: u, qos: 1}}
- {source: {topic: '+/x', qos: 0}, target: {topic: u}}
`))
	p, by := b.clean("p"), b.clean("by")
	p.sub(2, "t", "u", "f")
	by.pub("a/x", "1", 2)
	got := map[string]bool{}
	for range 2 {
		got[text(p.take())] = true
	}
	require.Equal(t, map[string]bool{"t=1 at 1": true, "u=1 at 1": true}, got)
	by.pub("a/y", "2", 1)
	p.want("t", "2", 0)
	by.pub("a/y/z", "3", 1)
	p.want("t", "3", 0)
	by.pub("b/x", "4", 1)
	p.want("u", "4", 0)
	p.fence(by, "f")
}

// Routes need no permissions: a copy may have a topic to which the publisher may not publish. Wildcards of routes do
// not match topics below $SYS.
func TestRoutesAndPermissions(t *testing.T) {
	t.Parallel()
	b := start(t, routed(`
- {source: {topic: 'ann/#', qos: 1}, target: {topic: cloud, qos: 1}}
`))
	p, ann := b.clean("p"), b.login(as("ann", "ann", true))
	p.sub(1, "cloud")
	ann.pub("ann/x/y", "m", 1)
	p.want("cloud", "m", 1)
	ann.send(&packet.Publish{Message: message("cloud", "m", 0)})
	ann.end()
	p.quiet()
}

// Copies are stored for clients that are not connected and survive a restart. Message and copies are one transaction.
func TestRouteIsStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yml := routed("- {source: {topic: a, qos: 1}, target: {topic: b, qos: 1}}\n")
	b := startIn(t, dir, yml)
	p := b.keep("p")
	p.sub(1, "b")
	p.close()
	eventually(t, "p's end, which may be stored", func() bool { return b.stat("connections") == 0 })
	by := b.clean("by")
	before := b.stat("store_batches")
	for i := range 10 {
		by.pub("a", fmt.Sprint(i), 1)
	}
	require.LessOrEqual(t, b.stat("store_batches")-before, int64(10))
	b.stop()
	b = startIn(t, dir, yml)
	p = b.keep("p")
	for i := range 10 {
		p.want("b", fmt.Sprint(i), 1)
	}
	p.quiet()
}

// The copies of one publisher's messages are in order.
func TestRouteKeepsOrder(t *testing.T) {
	t.Parallel()
	b := start(t, routed("- {source: {topic: 'a/+', qos: 1}, target: {topic: b, qos: 1}}\n"))
	p, by := b.clean("p"), b.clean("by")
	p.sub(1, "b")
	var all []packet.Generic
	for i := range 90 {
		all = append(all,
			&packet.Publish{ID: packet.ID(i + 1), Message: message(fmt.Sprint("a/", i%7), fmt.Sprint(i), packet.QOS(i%3))})
	}
	by.send(all...)
	for i := range 90 {
		require.Equal(t, fmt.Sprint(i), string(p.next().Message.Payload))
	}
}
