package manager

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/256dpi/gomqtt/transport"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// A burst at QoS 0 that is far more than the function handles meanwhile reaches it whole: it waits in the manager. What
// the hub did not give to the manager, since the machine was too busy for it to read, is not the manager's.
func TestBurst(t *testing.T) {
	for _, service := range []string{"svc", "sql"} {
		h := startHub(t)
		m := start(t, h.address, strings.Replace(fmt.Sprintf(simple, 1, "1m"), "service: svc", "service: "+service, 1))
		m.publish("in", 1, `{"id": 1}`)
		m.await("out", 1)
		const n = 30000
		count := subscribe(t, h, "out", 1)
		pour(t, h, "in", 0, n)
		for all := false; !all; {
			had := count.Load()
			mqtttest.Until(t, fmt.Sprintf("more than %d results", had), func() bool {
				all = uint64(count.Load())+h.client(t, "r1").Dropped >= n
				return all || count.Load() > had
			})
		}
		require.NotContains(t, m.stderr.String(), "dropped")
		require.NotContains(t, m.stderr.String(), "not connected")
	}
}

// client returns what the admin interface of the hub says of a client.
func (h *hub) client(t testing.TB, id string) hubapi.Client {
	t.Helper()
	c, err := http.NewClient(http.ClientConfig{Address: h.admin, Timeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	var clients hubapi.Page[hubapi.Client]
	require.NoError(t, c.Get(t.Context(), hubapi.Clients+"?client="+id, &clients))
	require.Len(t, clients.Items, 1)
	return clients.Items[0]
}

// subscribe counts what comes on a topic of the hub.
func subscribe(t testing.TB, h *hub, topic string, qos uint32) *atomic.Int64 {
	t.Helper()
	count := new(atomic.Int64)
	sub, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: h.address, Username: "test", Password: "hahaha",
		CleanSession: true, Subscriptions: []mqtt.TopicInfo{{Topic: topic, QOS: qos}}})
	require.NoError(t, err)
	up := make(chan struct{}, 1)
	require.NoError(t, sub.Start(mqtt.Funcs{
		Connect: func(bool) { up <- struct{}{} },
		Message: func(d *mqtt.Delivery) { d.Ack(); count.Add(1) },
	}))
	t.Cleanup(func() { sub.Close() })
	<-up
	return count
}

// pour publishes n small messages as fast as the hub takes them, at QoS 1 with 100 under way.
func pour(t testing.TB, h *hub, topic string, qos packet.QOS, n int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.address, "tcp://"))
	require.NoError(t, err)
	defer conn.Close()
	client := transport.NewNetConn(conn)
	require.NoError(t, client.Send(&packet.Connect{CleanSession: true, Username: "test", Password: "hahaha",
		Version: packet.Version311}, false))
	_, err = client.Receive()
	require.NoError(t, err)
	for i, acked := 0, 0; i < n || int(qos)*acked < int(qos)*n; {
		if i < n && (qos == 0 || i-acked < 100) {
			p := &packet.Publish{Message: packet.Message{Topic: topic, QOS: qos, Payload: fmt.Appendf(nil, `{"id": %d}`, i)}}
			if qos > 0 {
				p.ID = packet.ID(1 + i%60000)
			}
			i++
			require.NoError(t, client.Send(p, i < n && (qos == 0 || i-acked < 100)))
			continue
		}
		_, err := client.Receive()
		require.NoError(t, err)
		acked++
	}
}

// What waits is limited: more is dropped, counted and said, and the connection stays.
func TestBurstBeyondTheLimit(t *testing.T) {
	h := startHub(t)
	page := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	m := start(t, h.address, fmt.Sprintf(simple, 1, "1m")+
		fmt.Sprintf("message: {waiting: {max: 64k}}\nmetrics: {address: %q}\n", page))
	m.publish("in", 1, "wait go")
	for i := range 500 {
		m.publish("in", 0, fmt.Sprint("x", i))
	}
	m.publish("in", 1, "last") // waits for room
	mqtttest.Until(t, "the log says so", func() bool { return strings.Contains(m.stderr.String(), "are dropped") })
	write(t, filepath.Join(m.master.dir, "go"), "")
	mqtttest.Until(t, "the one of QoS 1 is not lost", func() bool {
		got := m.on("out")
		return len(got) > 0 && got[len(got)-1]["in"] == "last"
	})
	require.Less(t, len(m.on("out")), 300)
	require.Equal(t, 1, strings.Count(m.stderr.String(), "are dropped"), "one line a minute")
	require.NotContains(t, m.stderr.String(), "not connected")
	require.NotEqual(t, "0", number(t, page, `baetyl_rule_messages_total{function="f",kind="dropped",rule="0"}`))
	require.Equal(t, "0", number(t, page, "baetyl_function_manager_waiting_bytes"))
}

// A message that comes back through another program, where the configuration does not show it, makes some rounds and
// then few. Other messages are not held up by it.
func TestRingThroughABridge(t *testing.T) {
	h := startHub(t)
	m := start(t, h.address, fmt.Sprintf(simple, 4, "1m"))
	bridge, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: h.address, Username: "test", Password: "hahaha",
		ClientID: "bridge", Subscriptions: []mqtt.TopicInfo{{Topic: "out", QOS: 1}}})
	require.NoError(t, err)
	up := make(chan struct{}, 1)
	require.NoError(t, bridge.Start(mqtt.Funcs{
		Connect: func(bool) { up <- struct{}{} },
		Message: func(d *mqtt.Delivery) {
			bridge.PublishAsync(context.Background(), mqtt.Message{Topic: "in", QOS: 1, Payload: d.Payload},
				func(error) { d.Ack() })
		},
	}))
	t.Cleanup(func() { bridge.Close() })
	<-up
	m.publish("in", 1, "round")
	mqtttest.Until(t, "the log says so", func() bool {
		return strings.Contains(m.stderr.String(), "come back to this rule again and again")
	})
	rounds := len(m.on("out"))
	require.Less(t, rounds, 20)
	require.NotContains(t, m.stderr.String(), "not connected")
}
