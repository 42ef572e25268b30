//go:build vm

package vm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// cutsFlows is the flows of TestPowerCuts: their quality, and how many messages of each are in flight.
var cutsFlows = []struct {
	qos    packet.QOS
	window int
}{{1, 20}, {1, 20}, {1, 1}, {2, 20}, {2, 1}}

// cuts is the load of TestPowerCuts: what this machine, whose power stays, knows of that one.
type cuts struct {
	m        *machine
	flows    []*numberedFlow
	retained *retainedFlow
	here     *session // has a connection whenever the hub runs
	away     *session // comes now and then
}

// numberedFlow is messages with the numbers 1, 2, 3 … to a topic.
type numberedFlow struct {
	peer  *mqtttest.Peer
	topic string
	qos   packet.QOS
	next  int

	mu    sync.Mutex
	acked int
}

// session has to get every message of the flows.
type session struct {
	mqtttest.Numbered
	peer    *mqtttest.Peer
	known   bool // the hub has acknowledged its subscriptions once
	forgets bool // the hub did not know it any more
}

// retainedFlow changes and removes retained messages.
type retainedFlow struct {
	peer *mqtttest.Peer
	next int

	mu    sync.Mutex
	may   map[string][]string // by topic: what was acknowledged last, and what was published since; "": removed
	acked int
}

// TestPowerCuts cuts the power again and again under load of QoS 1 and 2, with retained messages and kept sessions.
// After each boot the hub has opened its store by itself, and nothing that it acknowledged is missing. VM_CUTS is the
// number of cuts (make test-vm CUTS=20).
func TestPowerCuts(t *testing.T) {
	count := 20
	if testing.Short() {
		count = 1
	}
	if text := os.Getenv("VM_CUTS"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	m := install(t)
	m.start()
	m.run("sync") // the installation is on the disk; what comes now is the hub's to save
	c := newCuts(m)
	for n := 1; n <= count; n++ {
		from, enough := c.acked(), 1+rand.IntN(2000)
		with := []*session{c.here}
		if n%3 == 0 {
			with = append(with, c.away)
		}
		c.run(true, with, func() bool { return c.acked() >= from+enough })
		c.check("before cut", n)
		m.up()
		m.running()
		require.Zero(t, m.inspect("localhub").Instances[0].Restarts, "the hub has opened its store at the first start")
		c.moved()
		c.checkRetained()
		t.Logf("cut %d, after %d more messages that were acknowledged: the hub is there, with the retained messages", n,
			c.acked()-from)
	}
	c.run(false, []*session{c.here, c.away}, func() bool { return c.complete(c.here) && c.complete(c.away) })
	c.check("after cut", count)
	require.True(t, c.complete(c.here) && c.complete(c.away), "%s", c)
	t.Logf("%d cuts: %s", count, c)
}

func newCuts(m *machine) *cuts {
	c := &cuts{m: m, retained: &retainedFlow{may: map[string][]string{}}}
	c.retained.peer = c.peer("retained")
	c.retained.peer.OnAck = c.retained.acknowledged
	for i, x := range cutsFlows {
		f := &numberedFlow{peer: c.peer(fmt.Sprintf("from-%d", i)), topic: fmt.Sprintf("cuts/flow/%d", i), qos: x.qos}
		f.peer.Window = x.window
		f.peer.OnAck = func(*packet.Message) {
			f.mu.Lock()
			f.acked++
			f.mu.Unlock()
		}
		c.flows = append(c.flows, f)
	}
	c.here, c.away = c.session("here"), c.session("away")
	c.run(false, []*session{c.here, c.away}, func() bool { return c.here.known && c.away.known })
	return c
}

func (c *cuts) peer(id string) *mqtttest.Peer {
	return &mqtttest.Peer{ID: "cuts-" + id, Address: c.m.port("1883"), Username: "test", Password: "hahaha"}
}

func (c *cuts) session(id string) *session {
	s := &session{peer: c.peer(id)}
	s.peer.Filters = []packet.Subscription{{Topic: "cuts/flow/+", QOS: 2}}
	s.peer.OnMessage = s.Receive
	return s
}

// run connects all publishers and some sessions, until done. With more set, messages are published, and the power is
// cut when done, under load; else only those are finished that are in flight.
func (c *cuts) run(more bool, sessions []*session, done func() bool) {
	c.m.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var mu sync.Mutex // of known and forgets
	for _, s := range sessions {
		s.peer.OnReady = func(present bool) {
			mu.Lock()
			defer mu.Unlock()
			s.forgets = s.forgets || s.known && !present
			s.known = true
		}
		wg.Go(func() { s.peer.Run(ctx) })
	}
	for _, p := range c.publishers() {
		wg.Go(func() { p.Run(ctx) })
	}
	if more {
		for _, f := range c.flows {
			wg.Go(func() { f.publish(ctx) })
		}
		wg.Go(func() { c.retained.publish(ctx) })
	}
	finished := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return done()
	}
	for end := time.Now().Add(5 * time.Minute); !finished(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.m.Fatalf("not within five minutes: %s", c)
		}
	}
	if more {
		c.m.cut()
	}
}

func (c *cuts) publishers() []*mqtttest.Peer {
	all := []*mqtttest.Peer{c.retained.peer}
	for _, f := range c.flows {
		all = append(all, f.peer)
	}
	return all
}

// moved says where the hub is after a boot.
func (c *cuts) moved() {
	for _, p := range append(c.publishers(), c.here.peer, c.away.peer) {
		p.Address = c.m.port("1883")
	}
}

// acked is how many messages the hub has acknowledged.
func (c *cuts) acked() (n int) {
	for _, f := range c.flows {
		f.mu.Lock()
		n += f.acked
		f.mu.Unlock()
	}
	c.retained.mu.Lock()
	defer c.retained.mu.Unlock()
	return n + c.retained.acked
}

// check fails on what was wrong in a session so far.
func (c *cuts) check(when string, n int) {
	c.m.Helper()
	for _, s := range []*session{c.here, c.away} {
		require.Empty(c.m, s.Wrong(), "%s %d, %s", when, n, s.peer.ID)
		require.False(c.m, s.forgets, "%s %d: the hub has forgotten the session of %s", when, n, s.peer.ID)
	}
}

// complete tells whether a session has everything.
func (c *cuts) complete(s *session) bool {
	return !slices.ContainsFunc(c.flows, func(f *numberedFlow) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.peer.InFlight() > 0 || s.Newest(f.topic) < f.acked
	})
}

func (c *cuts) String() string {
	var b strings.Builder
	for _, f := range c.flows {
		fmt.Fprintf(&b, "%s (QoS %d): %d published, %d here, %d away; ", f.topic, f.qos, f.next,
			c.here.Newest(f.topic), c.away.Newest(f.topic))
	}
	_, here := c.here.Count()
	_, away := c.away.Count()
	fmt.Fprintf(&b, "%d came again; retained: %d published", here+away, c.retained.next)
	return b.String()
}

func (f *numberedFlow) publish(ctx context.Context) {
	for {
		if f.peer.Publish(ctx, packet.Message{Topic: f.topic, QOS: f.qos, Payload: mqtttest.Number(f.next + 1)}) != nil {
			return
		}
		f.next++
	}
}

func (r *retainedFlow) publish(ctx context.Context) {
	for {
		n := r.next + 1
		m := packet.Message{Topic: fmt.Sprintf("cuts/retained/%d", n*7%50), QOS: 1, Retain: true}
		if n%11 > 0 {
			m.Payload = mqtttest.Number(n)
		}
		r.mu.Lock()
		if r.may[m.Topic] == nil {
			r.may[m.Topic] = []string{""} // there was none
		}
		r.may[m.Topic] = append(r.may[m.Topic], string(m.Payload))
		r.mu.Unlock()
		if r.peer.Publish(ctx, m) != nil {
			r.mu.Lock() // it was not published
			r.may[m.Topic] = r.may[m.Topic][:len(r.may[m.Topic])-1]
			r.mu.Unlock()
			return
		}
		r.next = n
	}
}

// acknowledged drops what came before the message: the retained message cannot be older any more.
func (r *retainedFlow) acknowledged(m *packet.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked++
	may := r.may[m.Topic]
	r.may[m.Topic] = may[1+slices.Index(may[1:], string(m.Payload)):]
}

// checkRetained compares the retained messages with what they may be.
func (c *cuts) checkRetained() {
	c.m.Helper()
	c.retained.mu.Lock()
	defer c.retained.mu.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	left := map[string][]string{} // topics that must have one
	for topic, may := range c.retained.may {
		if !slices.Contains(may, "") {
			left[topic] = may
		}
	}
	all := len(left)
	var wrong []string
	p := c.peer("reader")
	p.Clean, p.Filters = true, []packet.Subscription{{Topic: "cuts/retained/+", QOS: 1}, {Topic: "cuts/end", QOS: 1}}
	p.OnReady = func(bool) { _ = p.Publish(ctx, packet.Message{Topic: "cuts/end", QOS: 1}) } // comes after them
	p.OnMessage = func(m *packet.Message) {
		if m.Topic == "cuts/end" {
			stop()
			return
		}
		if may := c.retained.may[m.Topic]; !slices.Contains(may, string(m.Payload)) {
			wrong = append(wrong, fmt.Sprintf("%s: %.8q, may be %.8q", m.Topic, m.Payload, may))
		}
		delete(left, m.Topic)
	}
	require.NoError(c.m, p.Visit(ctx))
	require.Empty(c.m, wrong, "retained messages are not the newest that were acknowledged")
	require.Empty(c.m, left, "of %d retained messages", all)
}
