package hub_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// metric returns the value of a line of /metrics.
func metric(t *testing.T, address, name string) int64 {
	t.Helper()
	for line := range strings.Lines(get(t, "http://"+address+"/metrics")) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			require.NoError(t, err)
			return int64(v)
		}
	}
	require.Fail(t, "no metric "+name)
	return 0
}

func budgetOf(t *testing.T, address, kind, principal, resource string) int64 {
	return metric(t, address, fmt.Sprintf(`baetyl_hub_budget_%s{principal="%s",resource="%s"}`, kind, principal, resource))
}

// raw is a client that does only what a test says.
type raw struct {
	*packet.Stream
	conn net.Conn
	t    *testing.T
}

func dial(t *testing.T, address, user, id string, clean bool) (c *raw, code packet.ConnackCode) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	c = &raw{packet.NewStream(conn, conn), conn, t}
	p := packet.NewConnect()
	p.ClientID, p.Username, p.Password, p.CleanSession = id, user, "p", clean
	require.NoError(t, c.Write(p, false))
	ack, err := c.Read()
	require.NoError(t, err)
	return c, ack.(*packet.Connack).ReturnCode
}

func (c *raw) sub(qos packet.QOS, filters ...string) []packet.QOS {
	c.t.Helper()
	p := packet.NewSubscribe()
	p.ID = 1
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Topic: f, QOS: qos})
	}
	require.NoError(c.t, c.Write(p, false))
	ack, err := c.Read()
	require.NoError(c.t, err)
	return ack.(*packet.Suback).ReturnCodes
}

// pub publishes with QoS 1 and waits for PUBACK.
func (c *raw) pub(topic string, size int, retain bool) {
	c.t.Helper()
	p := packet.NewPublish()
	p.ID = 1
	p.Message = packet.Message{Topic: topic, Payload: make([]byte, size), QOS: 1, Retain: retain}
	require.NoError(c.t, c.Write(p, false))
	ack, err := c.Read()
	require.NoError(c.t, err)
	require.Equal(c.t, packet.PUBACK, ack.Type())
}

const budgets = `
listen: ['tcp://127.0.0.1:0']
principals:
- {username: bad, password: p, permissions: [{action: sub, permit: ['#']}, {action: pub, permit: ['#']}]}
- {username: good, password: p, permissions: [{action: sub, permit: ['#']}, {action: pub, permit: ['#']}]}
message: {length: {max: 64k}}
connection: {max: 1000}
`

// A client that acknowledges nothing, 25 that read nothing, many sessions, filters and retained messages of one user
// stay within its limits, and another user does not notice.
func TestBudgetOfHostileUser(t *testing.T) {
	m := freeAddress(t)
	addrs := start(t, budgets+"metrics: {address: '"+m+"'}\nstorage: {max: 10m}\nlimits: {memory: 100m, "+
		"principal: {sessions: 20, subscriptions: 300, retained: {messages: 100}}}\n")
	var last error
	require.Eventually(t, func() bool { _, last = net.Dial("tcp", m); return last == nil }, time.Minute, time.Millisecond)
	limit := budgetOf(t, m, "limit", "bad", "queued_memory_bytes")
	require.Less(t, limit, int64(50<<20))

	silent, _ := dial(t, addrs[0], "bad", "silent", true)
	silent.sub(1, "flood/#")
	go func() { // it reads, and acknowledges nothing
		for _, err := silent.Read(); err == nil; _, err = silent.Read() {
		}
	}()
	for i := range 25 {
		c, _ := dial(t, addrs[0], "bad", fmt.Sprint("deaf", i), true)
		require.NoError(t, c.conn.(*net.TCPConn).SetReadBuffer(4096))
		c.sub(packet.QOS(i%2), "flood/#")
	}
	good, _ := dial(t, addrs[0], "good", "good", true)
	p, _ := dial(t, addrs[0], "bad", "p", true)
	for i := range 1500 {
		p.pub("flood/"+strconv.Itoa(i%10), 60_000, false)
		if i%100 == 0 {
			require.LessOrEqual(t, budgetOf(t, m, "used", "bad", "queued_memory_bytes"), limit)
			good.pub("quiet", 1000, true)
		}
	}
	require.Positive(t, budgetOf(t, m, "refused_total", "bad", "queued_memory_bytes"))
	require.Positive(t, metric(t, m, "baetyl_hub_dropped_budget_total"))
	require.Zero(t, budgetOf(t, m, "refused_total", "good", "queued_memory_bytes"))

	refused := 0
	for i := range 30 {
		c, code := dial(t, addrs[0], "bad", fmt.Sprint("kept", i), false)
		if code != packet.ConnectionAccepted {
			refused++
			continue
		}
		for _, code := range c.sub(1, filters(i, 20)...) {
			if code == packet.QOSFailure {
				refused++
			}
		}
	}
	require.Equal(t, 10+20*20-(300-26), refused)
	c, code := dial(t, addrs[0], "good", "kept", false)
	require.Equal(t, packet.ConnectionAccepted, code)
	require.Equal(t, []packet.QOS{1}, c.sub(1, "mine"))

	for i := range 200 {
		p.pub(fmt.Sprint("retained/", i), 30_000, true)
	}
	require.LessOrEqual(t, budgetOf(t, m, "used", "", "retained_bytes"), int64(10<<20/8))
	require.LessOrEqual(t, metric(t, m, "baetyl_hub_retained"), int64(10<<20/8/30_000+200))
	for range 20 {
		good.pub("mine", 1000, false)
	}
	for range 20 {
		x, err := c.Read()
		require.NoError(t, err)
		require.Equal(t, packet.PUBLISH, x.Type())
	}
}

func filters(i, n int) (list []string) {
	for j := range n {
		list = append(list, fmt.Sprintf("f/%d/%d", i, j))
	}
	return list
}

// What stands there after a restart counts, with its owner.
func TestBudgetAfterRestart(t *testing.T) {
	dir, m := t.TempDir(), freeAddress(t)
	yml := budgets + "metrics: {address: '" + m + "'}\n"
	addrs, stop := startIn(t, dir, yml)
	for i := range 3 {
		c, _ := dial(t, addrs[0], "good", fmt.Sprint("away", i), false)
		c.sub(1, "t", "u")
		require.NoError(t, c.conn.Close())
	}
	p, _ := dial(t, addrs[0], "bad", "p", true)
	for range 50 {
		p.pub("t", 10_000, false)
	}
	p.pub("r", 500, true)
	used := func(who, what string) int64 { return budgetOf(t, m, "used", who, what) }
	check := func() {
		require.EqualValues(t, 3, used("good", "sessions"))
		require.EqualValues(t, 6, used("good", "subscriptions"))
		require.InDelta(t, 500_000, used("good", "queued_disk_bytes"), 10_000)
		require.EqualValues(t, 1, used("bad", "retained_messages"))
		require.EqualValues(t, 501, used("bad", "retained_bytes"))
		require.EqualValues(t, 3, used("", "sessions"))
	}
	var last error
	ready := func() bool { _, last = net.Dial("tcp", m); return last == nil }
	require.Eventually(t, ready, time.Minute, time.Millisecond)
	check()
	require.NoError(t, p.conn.Close())
	stop()
	addrs, stop = startIn(t, dir, yml)
	defer stop()
	require.Eventually(t, ready, time.Minute, time.Millisecond)
	check()
	for i := range 3 { // clean sessions discard what waits
		dial(t, addrs[0], "good", fmt.Sprint("away", i), true)
	}
	require.Zero(t, used("good", "sessions"))
	require.Zero(t, used("good", "queued_disk_bytes"))
}
