package hub_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/hubapi"
)

// watching is a stream of messages.
type watching struct {
	t    *testing.T
	body *bufio.Reader
	end  func()
}

func (d *desk) watch(query ...string) *watching {
	d.t.Helper()
	v := url.Values{}
	for i := 0; i < len(query); i += 2 {
		v.Set(query[i], query[i+1])
	}
	a, err := d.http.Get("http://hub" + hubapi.Messages + "?" + v.Encode())
	require.NoError(d.t, err)
	require.Equal(d.t, 200, a.StatusCode)
	w := &watching{d.t, bufio.NewReader(a.Body), func() { _ = a.Body.Close() }}
	d.t.Cleanup(w.end)
	return w
}

func (w *watching) next() (m hubapi.Message) {
	w.t.Helper()
	line, err := w.body.ReadBytes('\n')
	require.NoError(w.t, err)
	if bytes.Contains(line, []byte(`"missed"`)) {
		require.Regexp(w.t, `^{"missed":[1-9][0-9]*}\n$`, string(line))
	}
	require.NoError(w.t, json.Unmarshal(line, &m), string(line))
	return m
}

// Who watches sees what is published, by whom, in order: of every QoS, retained, from before, binary, and wills.
func TestWatch(t *testing.T) {
	d := openDesk(t, "subscriptions: [{source: {topic: 'copied', qos: 1}, target: {topic: 'w/copy', qos: 1}}]\n")
	c, _ := join(t, d.url(0), `a "b"`)
	publish(t, c, "w/kept", "before", 1, true)
	w := d.watch(hubapi.QueryFilter, "w/#", hubapi.QueryKept, "true")
	m := w.next()
	require.True(t, m.Kept && m.Retain)
	require.Equal(t, "before", m.Payload)
	for qos := range 3 {
		publish(t, c, "w/1", fmt.Sprint("q", qos), packet.QOS(qos), false)
		m = w.next()
		require.Equal(t, hubapi.Message{
			Time: m.Time, Topic: "w/1", Payload: fmt.Sprint("q", qos), Size: 2, QOS: qos, Client: `a "b"`, User: "test",
		}, m)
		require.WithinDuration(t, time.Now(), m.Time, time.Minute)
	}
	publish(t, c, "other", "not seen", 1, false)
	publish(t, c, "copied", "x", 1, false)
	require.Equal(t, "w/copy", w.next().Topic)
	for _, binary := range []string{"\x1b[2J", "\xff\x00", "a\rb", "\u009b1m"} {
		publish(t, c, "w/bin", binary, 0, true)
		m = w.next()
		require.True(t, m.Retain && m.Payload == "" && !m.Kept)
		require.Equal(t, binary, string(m.Base64))
	}
	status, body := d.post(hubapi.Publish, hubapi.PublishRequest{Topic: "w/p", Payload: "person"})
	require.Equal(t, 200, status, body)
	m = w.next()
	require.Equal(t, "person", m.Payload)
	require.Empty(t, m.Client)

	w.end()
	require.NoError(t, c.Close())
	for _, x := range []string{"", "?filter=a%23", "?filter=a&kept=x", "?filter=a&limit=1"} {
		status, body := d.ask(http.MethodGet, hubapi.Messages+x, "")
		require.Equal(t, 400, status, body)
	}
}

// Whoever watches a flood and does not read learns how many are left out, keeps nobody up, and sees what comes later.
func TestWatchAFlood(t *testing.T) {
	d := openDesk(t, "")
	w := d.watch(hubapi.QueryFilter, "f/#")
	c, _ := join(t, d.url(0), "flood")
	sub, messages := join(t, d.url(0), "reader")
	subscribe(t, sub, "end", 1)
	const n = 100_000
	payload := strings.Repeat("x", 100)
	for range n {
		_, err := c.Publish("f/1", []byte(payload), 0, false)
		require.NoError(t, err)
	}
	publish(t, c, "end", "x", 1, false)
	require.NotNil(t, <-messages)
	publish(t, c, "f/2", "last", 1, false)
	seen, missed := 0, 0
	for m := w.next(); m.Topic != "f/2"; m = w.next() {
		if m.Missed == 0 {
			seen++
			require.Equal(t, payload, m.Payload)
		} else if missed += int(m.Missed); seen+missed >= n { // the last one may have been left out too
			publish(t, c, "f/2", "last", 1, false)
		}
	}
	require.GreaterOrEqual(t, seen+missed, n)
	require.Less(t, seen+missed, n+10)
	var client hubapi.Client
	for _, x := range list[hubapi.Client](d, hubapi.Clients, "client", "flood") {
		client = x
	}
	require.GreaterOrEqual(t, client.Published, uint64(n))
	require.Greater(t, client.Bytes, uint64(n*100))
	require.NoError(t, c.Close())
	require.NoError(t, sub.Close())
}

// There is a limit of those who watch, and one that has ended makes room.
func TestWatchesAreFew(t *testing.T) {
	d := openDesk(t, "")
	var all []*watching
	for range 8 {
		all = append(all, d.watch(hubapi.QueryFilter, "#"))
	}
	status, body := d.ask(http.MethodGet, hubapi.Messages+"?filter=%23", "")
	require.Equal(t, 429, status, body)
	require.Contains(t, body, "8 streams")
	all[0].end()
	for status = 429; status == 429; {
		a, err := d.http.Get("http://hub" + hubapi.Messages + "?filter=%23")
		require.NoError(t, err)
		status = a.StatusCode
		require.NoError(t, a.Body.Close())
	}
}

// A payload that is too long for a line is left out, and its size said.
func TestWatchLongPayload(t *testing.T) {
	d := openDesk(t, "message: {length: {max: 4m}}\n")
	w := d.watch(hubapi.QueryFilter, "#")
	c, _ := join(t, d.url(0), "c")
	publish(t, c, "long", strings.Repeat("<", hubapi.MostPayload+1), 1, false)
	m := w.next()
	require.True(t, m.Cut)
	require.Equal(t, hubapi.MostPayload+1, m.Size)
	require.Empty(t, m.Payload)
	publish(t, c, "long", strings.Repeat("\xff", hubapi.MostPayload), 1, false)
	m = w.next()
	require.Len(t, m.Base64, hubapi.MostPayload)
	require.NoError(t, c.Close())
}

// Who gets a topic: filters, shared ones, copies of static routes, absent sessions with what waits for them.
func TestReceivers(t *testing.T) {
	d := openDesk(t, "subscriptions: [{source: {topic: 't/+', qos: 1}, target: {topic: 'copy', qos: 1}}]\n")
	away, _ := join(t, d.url(0), "away", durable)
	subscribe(t, away, "t/#", 1)
	subscribe(t, away, "none", 1)
	require.NoError(t, away.Disconnect(time.Minute))
	here, _ := join(t, d.url(0), "here")
	subscribe(t, here, "$share/g/t/1", 0)
	subscribe(t, here, "copy", 1)
	subscribe(t, here, "#", 1)
	publish(t, here, "t/1", "x", 1, false)
	got := list[hubapi.Receiver](d, hubapi.Receivers, "topic", "t/1", "limit", "2")
	var text []string
	for _, r := range got {
		text = append(text, fmt.Sprintf("%s %s %d connected=%v durable=%v waits=%v %s", r.Client, r.Filter, r.QOS,
			r.Connected, r.Durable, r.Durable && r.Queued == 1, r.Route))
		require.True(t, r.Active)
		require.Equal(t, "test", r.User)
	}
	require.Equal(t, []string{
		"away t/# 1 connected=false durable=true waits=true ",
		"here # 1 connected=true durable=false waits=false ",
		"here # 1 connected=true durable=false waits=false copy",
		"here $share/g/t/1 0 connected=true durable=false waits=false ",
		"here copy 1 connected=true durable=false waits=false copy",
	}, text)
	require.Len(t, list[hubapi.Receiver](d, hubapi.Receivers, "topic", "u"), 1, "# alone matches")
	for _, q := range []string{"", "?topic=a%23"} {
		status, body := d.ask(http.MethodGet, hubapi.Receivers+q, "")
		require.Equal(t, 400, status, body)
	}
	require.NoError(t, here.Close())
}
