package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

func nothing() {}

// pages calls get for all pages of a list, of a random size each, and returns what name says of the entries.
func pages[T any](
	q core.Query, get func(core.Query, func()) ([]T, core.Key), pause func(), name func(T) string,
) (all []string) {
	for {
		q.Limit = 1 + rand.IntN(50)
		list, next := get(q, pause)
		for _, x := range list {
			all = append(all, name(x))
		}
		if q.After = next; next == (core.Key{}) {
			return all
		}
	}
}

func clientName(x core.ClientItem) string       { return x.Client.Client }
func sessionName(x core.SessionItem) string     { return x.Client }
func filterName(x hubapi.Subscription) string   { return x.Client + " " + x.Filter }
func topicName(x hubapi.RetainedMessage) string { return x.Topic }
func numbered(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	slices.Sort(list)
	return list
}

// Lists are in order, whole, and not disturbed by what happens in their pauses.
func TestListsInPages(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ConnectionsMax = 1000 })
	var subs []string
	ids, topics := numbered("c%03d", 300), numbered("r/%d", 600)
	for _, id := range ids {
		r.subscribed(connect(id), 1, "f/"+id, "a")
		subs = append(subs, id+" a", id+" f/"+id)
	}
	p := r.connect(connect("p"))
	for _, name := range topics {
		p.send(retained(0, 0, name, "x"))
	}
	n := 0
	change := func() { // what the queries do not select
		n++
		r.subscribed(user("v", connect(fmt.Sprintf("b%d", n%7))), 0, fmt.Sprint("b", n))
		p.send(retained(0, 0, fmt.Sprintf("q/%d", n), "x"), retained(0, 0, fmt.Sprintf("q/%d", n-1), ""))
	}
	require.Equal(t, ids, pages(core.Query{Client: "c"}, r.Clients, change, clientName))
	require.Equal(t, ids, pages(core.Query{Client: "c"}, r.Sessions, change, sessionName))
	require.Equal(t, subs, pages(core.Query{User: "u"}, r.Subscriptions, change, filterName))
	require.Equal(t, topics, pages(core.Query{Topic: "r/"}, r.Retained, change, topicName))
	require.Positive(t, n, "there was no pause")
	require.Empty(t, pages(core.Query{Client: "c", User: "v"}, r.Subscriptions, nothing, filterName))
	require.Len(t, pages(core.Query{Topic: "f/c00"}, r.Subscriptions, nothing, filterName), 10)
	require.Len(t, r.RetainedTopics("r/+", nothing), 600)
	require.Empty(t, r.RetainedTopics("+", nothing))
}

// A page whose names are long ends early, and the next one goes on.
func TestPagesAreSmall(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.PacketMax, o.Topic.Length = 1<<20, 65535 })
	p := r.connect(connect("p"))
	for i := range 40 {
		p.send(retained(0, 0, fmt.Sprintf("%s/%d", strings.Repeat("x", 60000), i), "x"))
	}
	list, next := r.Retained(core.Query{Limit: 1000}, nothing)
	require.Len(t, list, 17)
	list, next = r.Retained(core.Query{Limit: 1000, After: next}, nothing)
	require.Len(t, list, 17)
	list, next = r.Retained(core.Query{Limit: 1000, After: next}, nothing)
	require.Len(t, list, 6)
	require.Zero(t, next)
}

// What leaves in a pause is not in the page; the page goes on behind it.
func TestListsWithoutThoseWhoLeave(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.ConnectionsMax, o.QueueMax = 1000, 1000 })
	p := r.subscribed(connect("a"), 1, "t")
	other := r.connect(connect("z"))
	for i := range 600 {
		other.send(pub(packet.ID(i+1), 1, "t", "xx"))
	}
	list, _ := r.Clients(core.Query{Limit: 10}, nothing)
	require.Equal(t, 600, list[0].Queued)
	require.Equal(t, 100, list[0].InFlight)
	require.Equal(t, int64(600*3), list[0].QueuedBytes)
	left := false
	list, next := r.Clients(core.Query{Limit: 1}, func() {
		if !left {
			left = true
			p.cut()
		}
	})
	require.Empty(t, list)
	require.Equal(t, core.Key{Client: "a"}, next)
	list, next = r.Clients(core.Query{Limit: 1, After: next}, nothing)
	require.Equal(t, "z", list[0].Client.Client)
	require.Zero(t, next)
}

// Drops count for the session that has lost something, and ages since it came.
func TestDropsAndAges(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.QueueMax, o.Window, o.EgressQOS0 = 3, 1, 2 })
	r.subscribed(connect("full"), 1, "t")
	slow := r.subscribed(connect("slow"), 0, "t")
	slow.slow = true
	keeps := r.subscribed(kept("keeps"), 1, "t")
	keeps.cut()
	p := r.connect(connect("p"))
	for i := range 10 {
		p.send(pub(packet.ID(i+1), 1, "t", "x"))
	}
	r.pass(time.Minute)
	rows := map[string]core.SessionItem{}
	list, _ := r.Sessions(core.Query{Limit: 10}, nothing)
	for _, x := range list {
		rows[x.Client] = x
	}
	require.Equal(t, uint64(7), rows["full"].Dropped)
	require.Equal(t, uint64(7), rows["keeps"].Dropped)
	require.Equal(t, uint64(7), rows["slow"].Dropped, "one is in the socket, two wait")
	require.Zero(t, rows["p"].Dropped)
	require.Equal(t, int64(60), rows["keeps"].Away)
	require.Equal(t, 3, rows["keeps"].Queued)
	r.restart()
	r.pass(2 * time.Second)
	list, _ = r.Sessions(core.Query{Limit: 10}, nothing)
	require.Len(t, list, 1)
	require.Equal(t, int64(2), list[0].Away, "since the start")
}

// BenchmarkLists lists 100,000 entries in pages of 1000, and says how long portions take: nothing else of the hub
// happens meanwhile.
func BenchmarkLists(b *testing.B) {
	l := newLoop(b)
	const n = 100_000
	for i := range n {
		l.LoadSession(core.StoredSession{
			Number: uint64(i + 1), Client: fmt.Sprintf("device-%d", i), User: "u",
			Filters: map[string]packet.QOS{fmt.Sprintf("device/%d/#", i): 1},
		})
		l.LoadRetained(record.Message{Topic: fmt.Sprintf("device/state-%d", i), Payload: []byte("on"), Retain: true})
	}
	bench := func(name string, get func(core.Query, func()) core.Key) {
		b.Run(name, func(b *testing.B) {
			var portions []time.Duration
			for b.Loop() {
				last := time.Now()
				pause := func() {
					portions = append(portions, time.Since(last))
					last = time.Now()
				}
				get(core.Query{Limit: 1000, After: core.Key{Client: "device-5", Topic: "device/state-5"}}, pause)
				pause()
			}
			slices.Sort(portions) // the longest ones are those in which another program ran
			b.ReportMetric(float64(portions[len(portions)*99/100].Microseconds()), "µs/portion-p99")
			b.ReportMetric(float64(portions[len(portions)/2].Microseconds()), "µs/portion-p50")
		})
	}
	bench("sessions", func(q core.Query, pause func()) core.Key { _, k := l.Sessions(q, pause); return k })
	bench("subscriptions", func(q core.Query, pause func()) core.Key { _, k := l.Subscriptions(q, pause); return k })
	bench("retained", func(q core.Query, pause func()) core.Key { _, k := l.Retained(q, pause); return k })
	clients := newLoop(b)
	for i := range n {
		cl := core.NewClient(&peer{})
		clients.Open(cl)
		clients.Connect(cl, connect(fmt.Sprintf("device-%d", i)), book(b, permit("u", all, all)).User("u"))
		clients.run()
	}
	bench("clients", func(q core.Query, pause func()) core.Key { _, k := clients.Clients(q, pause); return k })
}
