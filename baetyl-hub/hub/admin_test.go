package hub_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/client"
	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// What connected, durable and absent clients have is seen, and what waits for them.
func TestAdminShowsClients(t *testing.T) {
	d := openDesk(t, "")
	before := time.Now()
	away, _ := join(t, d.url(0), "away", durable)
	subscribe(t, away, "t/#", 1)
	require.NoError(t, away.Disconnect(time.Minute))
	web, _ := join(t, d.url(1), `we "b"/#`, durable)
	subscribe(t, web, "t/1", 1)
	subscribe(t, web, "$share/g/other", 0)
	none, _ := join(t, d.url(0), "")
	for range 3 {
		publish(t, none, "t/2", strings.Repeat("x", 1000), 1, false)
	}
	publish(t, none, "kept/1", "12345", 1, true)

	clients := list[hubapi.Client](d, hubapi.Clients)
	require.Len(t, clients, 2)
	c := clients[1]
	require.Equal(t, `we "b"/#`, c.Client)
	require.Equal(t, "test", c.User)
	require.Equal(t, "ws://"+d.Addrs()[1].String(), c.Listener)
	require.Equal(t, "3.1.1", c.Protocol)
	require.Equal(t, 30, c.KeepAlive)
	require.WithinRange(t, c.Since, before.Add(-time.Second), time.Now())
	require.NotEmpty(t, c.Address)
	require.True(t, strings.HasPrefix(clients[0].Client, "\x00"), "one without client id")

	sessions := list[hubapi.Session](d, hubapi.Sessions)
	require.Len(t, sessions, 3)
	s := sessions[1]
	require.Equal(t, "away", s.Client)
	require.True(t, s.Durable && !s.Connected)
	require.Equal(t, 1, s.Subscriptions)
	require.Equal(t, 3, s.Queued)
	require.InDelta(t, 3000, s.QueuedBytes, 200)
	require.Less(t, s.Away, int64(60))

	subs := list[hubapi.Subscription](d, hubapi.Subscriptions)
	require.Equal(t, []hubapi.Subscription{
		{Client: "away", User: "test", Filter: "t/#", QOS: 1, Active: true},
		{Client: `we "b"/#`, User: "test", Filter: "$share/g/other", Active: true},
		{Client: `we "b"/#`, User: "test", Filter: "t/1", QOS: 1, Active: true},
	}, subs)
	require.Len(t, list[hubapi.Subscription](d, hubapi.Subscriptions, "topic", "t/", "client", "we"), 1)

	kept := list[hubapi.RetainedMessage](d, hubapi.Retained, "topic", "kept/")
	require.Len(t, kept, 1)
	require.Equal(t, hubapi.RetainedMessage{Topic: "kept/1", QOS: 1, Size: 5, Age: kept[0].Age}, kept[0])
	require.Less(t, *kept[0].Age, int64(60))

	_, body := d.ask(http.MethodGet, hubapi.Counters, "")
	var counters map[string]int64
	require.NoError(t, json.Unmarshal([]byte(body), &counters))
	require.Equal(t, int64(2), counters["connections"])
	require.NoError(t, web.Close())
	require.NoError(t, none.Close())
}

// Pages have each client once that is there all the time, whoever comes and goes meanwhile.
func TestAdminPagesUnderChange(t *testing.T) {
	d := openDesk(t, "")
	var want []string
	for i := range 40 {
		id := fmt.Sprintf("stays%02d", i)
		join(t, d.url(0), id)
		want = append(want, id)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c, _ := join(t, d.url(0), fmt.Sprintf("stays%02dx", i%40))
			_ = c.Disconnect()
		}
	}()
	for range 10 {
		var got []string
		for _, id := range clientIDs(d, "limit", "7", "client", "stays") {
			if !strings.HasSuffix(id, "x") {
				got = append(got, id)
			}
		}
		require.Equal(t, want, got)
	}
	close(stop)
	<-stopped
	require.Empty(t, clientIDs(d, "user", "nobody"))
	mqtttest.Until(t, "the last one that came has gone", func() bool {
		return len(clientIDs(d, "user", "te", "client", "stays0", "limit", "1000")) == 10
	})
}

// A kicked client's connection ends, its will is published, and the log says who did it and why.
func TestAdminKick(t *testing.T) {
	d := openDesk(t, "")
	watcher, messages := join(t, d.url(0), "watcher")
	subscribe(t, watcher, "will", 0)
	_, ends := join(t, d.url(1), `a "b"`, func(o *client.Config) {
		o.WillMessage = &packet.Message{Topic: "will", Payload: []byte("gone")}
	})
	status, body := d.post(hubapi.Kick, hubapi.KickRequest{Client: `a "b"`, Reason: "too loud"})
	require.Equal(t, 200, status, body)
	ended(t, ends)
	require.Equal(t, "gone", string((<-messages).Payload))
	mqtttest.Until(t, "the log has it", func() bool {
		text := d.out.String()
		return strings.Contains(text, "closed through the admin interface") && strings.Contains(text, "too loud") &&
			strings.Contains(text, "admin request") && strings.Contains(text, "uid ")
	})
	status, body = d.post(hubapi.Kick, hubapi.KickRequest{Client: `a "b"`})
	require.Equal(t, 404, status, body)
	require.NoError(t, watcher.Close())
}

// A deleted session is gone, also after a restart, with what waited for it; its client is kicked.
func TestAdminDeleteSession(t *testing.T) {
	d := openDesk(t, "")
	c, ends := join(t, d.url(0), "d", durable)
	subscribe(t, c, "t", 1)
	other, _ := join(t, d.url(0), "other", durable)
	subscribe(t, other, "t", 1)
	publish(t, other, "t", "x", 1, false)
	for i := range 2 { // connected, and not
		status, body := d.post(hubapi.DeleteSession, hubapi.DeleteSessionRequest{Client: "d"})
		require.Equal(t, 200, status, body)
		if i == 0 {
			ended(t, ends)
		}
		status, body = d.post(hubapi.DeleteSession, hubapi.DeleteSessionRequest{Client: "d"})
		require.Equal(t, 404, status, body)
		c, _ = join(t, d.url(0), "d", durable)
		require.Empty(t, list[hubapi.Subscription](d, hubapi.Subscriptions, "client", "d"))
		subscribe(t, c, "t", 1)
		publish(t, other, "t", "y", 1, false)
		require.NoError(t, c.Disconnect(time.Minute))
	}
	status, body := d.post(hubapi.DeleteSession, hubapi.DeleteSessionRequest{Client: "d"})
	require.Equal(t, 200, status, body)
	require.NoError(t, other.Close())
	mqtttest.Until(t, "one session is left", func() bool {
		return len(list[hubapi.Session](d, hubapi.Sessions)) == 1
	})
}

// Messages are published as text and bytes, retained ones deleted by topic and filter.
func TestAdminPublishAndDeleteRetained(t *testing.T) {
	d := openDesk(t, "")
	c, messages := join(t, d.url(0), "c")
	subscribe(t, c, "#", 2)
	next := func() string {
		select {
		case m := <-messages:
			return fmt.Sprintf("%s %s %d", m.Topic, m.Payload, m.QOS)
		case <-time.After(time.Minute):
			t.Fatal("no message")
			return ""
		}
	}
	for i, in := range []hubapi.PublishRequest{
		{Topic: "a", Payload: "tëxt"}, {Topic: "a/b", Base64: []byte{0xff, 0}, QOS: 1}, {Topic: "a/c", Payload: "z", QOS: 2, Retain: true},
	} {
		status, body := d.post(hubapi.Publish, in)
		require.Equal(t, 200, status, body)
		require.Equal(t, []string{"a tëxt 0", "a/b \xff\x00 1", "a/c z 2"}[i], next())
	}
	for i := range 300 {
		publish(t, c, fmt.Sprintf("r/%d", i), "x", 0, true)
	}
	publish(t, c, "s", "x", 1, true)
	for range 301 {
		next()
	}
	status, body := d.post(hubapi.DeleteRetained, hubapi.DeleteRetainedRequest{Filter: "r/#"})
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"done":300}`, body)
	status, body = d.post(hubapi.DeleteRetained, hubapi.DeleteRetainedRequest{Topic: "s"})
	require.Equal(t, 200, status, body)
	status, body = d.post(hubapi.DeleteRetained, hubapi.DeleteRetainedRequest{Topic: "s"})
	require.Equal(t, 404, status, body)
	kept := list[hubapi.RetainedMessage](d, hubapi.Retained, "topic", "")
	for _, m := range kept {
		require.True(t, m.Topic == "a/c" || strings.HasPrefix(m.Topic, "$SYS/"), m.Topic)
	}
	status, body = d.post(hubapi.DeleteRetained, hubapi.DeleteRetainedRequest{Topic: "$SYS/broker/uptime"})
	require.Equal(t, 404, status, body)
	publish(t, c, "last", "", 1, false)
	require.Equal(t, "last  1", next(), "a deletion is told to nobody")
	require.NoError(t, c.Close())
}

// Access names the rule.
func TestAdminAccess(t *testing.T) {
	d := openDesk(t, `- username: dev
  password: p
  permissions:
  - {action: sub, permit: ['x']}
  - {action: pub, permit: ['a/+', 'b/#', '%u/%c']}
`)
	for _, x := range []struct{ user, action, topic, want string }{
		{"dev", "publish", "dev/sensor", `{"allowed":true,"rule":"principals[2].permissions[1].permit[2]","permit":"%u/%c"}`},
		{"dev", "publish", "b/c/d", `{"allowed":true,"rule":"principals[2].permissions[1].permit[1]","permit":"b/#"}`},
		{"test", "subscribe", "$share/g/a/#", `{"allowed":true,"rule":"principals[0].permissions[1].permit[0]","permit":"#"}`},
		{"dev", "subscribe", "y", `{"allowed":false,"reason":"no permit of principals[2] with action sub covers it; ` +
			`add one to principals[2].permissions"}`},
		{"dév", "publish", "a/x", `{"allowed":false,"reason":"no principal has this name; add one with username \"dév\" to principals"}`},
		{"test", "publish", "a/#", ""}, {"test", "publish", "$SYS/a", ""}, {"test", "subscribe", "$share/g", ""},
	} {
		v := url.Values{"user": {x.user}, "client": {"sensor"}, "action": {x.action}, "topic": {x.topic}}
		status, body := d.ask(http.MethodGet, hubapi.Access+"?"+v.Encode(), "")
		require.Equal(t, 200, status, body)
		if x.want == "" {
			require.Contains(t, body, `{"allowed":false,"reason":"`)
		} else {
			require.JSONEq(t, x.want, body)
		}
	}
}
