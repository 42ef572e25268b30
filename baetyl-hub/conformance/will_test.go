package conformance_test

import (
	"fmt"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// testament is a CONNECT with a will on will/<id>.
func testament(id string, clean bool, qos packet.QOS) *packet.Connect {
	c := hello(id, clean)
	c.Will = &packet.Message{Topic: "will/" + id, Payload: []byte("of " + id), QOS: qos}
	return c
}

// The will is published once, with its QoS, when the connection ends without DISCONNECT.
func TestWill(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(2, "will/+", "f")
	for qos := packet.QOS(0); qos <= 2; qos++ {
		for _, clean := range []bool{true, false} {
			p := b.login(testament("x", clean, qos))
			p.close()
			m := watch.want("will/x", "of x", qos)
			require.False(t, m.Message.Retain)
			p = b.login(testament("x", clean, qos))
			p.raw([]byte{0x00, 0x00}) // a violation is such an end too
			p.end()
			watch.want("will/x", "of x", qos)
		}
	}
	watch.fence(by, "f")
}

func TestDisconnectDiscardsTheWill(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(2, "will/+", "f")
	for _, clean := range []bool{true, false} {
		b.login(testament("x", clean, 1)).bye()
		// Nor is it published when the client connects without a will and loses that connection.
		b.login(hello("x", clean)).close()
	}
	eventually(t, "the connections' end", func() bool { return b.stat("connections") == 2 })
	watch.fence(by, "f")
}

func TestTakeoverPublishesTheWill(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(1, "will/+", "f")
	old := b.login(testament("x", false, 1))
	b.login(hello("x", false)).quiet()
	old.end()
	watch.want("will/x", "of x", 1)
	watch.fence(by, "f")
}

// A retained will is retained, an empty one removes what is retained, one without the flag leaves it.
func TestRetainedWill(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch := b.clean("watch")
	watch.sub(0, "will/#")
	die := func(payload string, retain bool) {
		c := testament("x", true, 1)
		c.Will.Payload, c.Will.Retain = []byte(payload), retain
		b.login(c).close()
		require.False(t, watch.want("will/x", payload, 0).Message.Retain)
	}
	check := func(want string) {
		p := b.clean("check")
		p.sub(1, "will/x")
		if want != "" {
			p.wantRetained("will/x", want, 1)
		}
		p.quiet()
		p.bye()
	}
	die("one", true)
	check("one")
	die("two", false)
	check("one")
	die("", false)
	check("one")
	die("", true)
	check("")
}

// A client that may not publish its will is refused, and the will is never published.
func TestForbiddenWill(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	watch, by := b.clean("watch"), b.clean("by")
	watch.sub(0, "#")
	c := as("ann", "ann", true)
	c.Will = &packet.Message{Topic: "bob/w", Payload: []byte("w")}
	b.refused(c, packet.NotAuthorized)
	watch.fence(by, "f")
	c.Will.Topic = "ann/w"
	b.login(c).close()
	watch.want("ann/w", "w", 0)
}

// When the hub stops, it publishes no wills. After the next start it publishes those of clients that do not come back.
func TestWillAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yml := anyone + "session: {will: {delay: 10s}}"
	b := startIn(t, dir, yml)
	watch := b.keep("watch")
	watch.sub(1, "will/+", "f")
	away, back := b.login(testament("away", true, 1)), b.login(testament("back", true, 1))
	other := b.login(testament("other", false, 1))
	anonymous := testament("", true, 1)
	anonymous.Will.Topic = "will/anonymous"
	nameless := b.login(anonymous)
	gone := b.login(testament("gone", true, 1))
	gone.bye()
	b.stop()
	for _, p := range []*peer{watch, away, back, other, nameless} {
		p.end() // nothing is published while the hub stops
	}

	b = startIn(t, dir, yml)
	b.login(hello("back", true))         // before the delay has passed, with no will: its old one is void
	b.login(testament("other", true, 1)) // with a new one
	watch = b.keep("watch")
	got := map[string]bool{}
	for range 2 {
		got[text(watch.take())] = true
	}
	require.Equal(t, map[string]bool{"will/away=of away at 1": true, "will/anonymous=of  at 1": true}, got)
	watch.fence(b.clean("by"), "f")
	b.stop()

	b = startIn(t, dir, yml) // each once
	watch = b.keep("watch")
	watch.want("will/other", "of other", 1)
	watch.fence(b.clean("by"), "f")
}

// The will of a client without id has nothing to do with the next client without id.
func TestWillsOfClientsWithoutID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yml := anyone + "session: {will: {delay: 300ms}}"
	var kept []*peer
	b := startIn(t, dir, yml)
	watch := b.keep("watch")
	watch.sub(1, "will/+")
	for round := range 3 {
		c := testament("", true, 1)
		c.Will.Topic, c.Will.Payload = fmt.Sprint("will/", round), []byte("w")
		kept = append(kept, b.login(c))
		if round > 0 {
			watch.want(fmt.Sprint("will/", round-1), "w", 1)
			watch.quiet()
		}
		b.stop()
		b = startIn(t, dir, yml)
		watch = b.keep("watch")
	}
	watch.want("will/2", "w", 1)
	for _, p := range kept {
		p.end()
	}
}
