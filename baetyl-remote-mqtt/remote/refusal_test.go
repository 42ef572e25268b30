package remote_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// Real refusals of a real hub: what is larger than its limit, and what its permissions forbid, becomes a dead letter;
// the rest passes, and the process says what it did.
func TestHubRefuses(t *testing.T) {
	_, at := hubs(
		t,
		`principals: [{username: test, password: hahaha, permissions: [{action: pub, permit: ['down/ok']}, {action: sub, permit: ['#']}]}]
logger: {level: warn}
`,
		openHub+"message: {length: {max: 1m}}\n",
	)
	b := between(t, at[0], at[1])
	b.configure(func(text string) string {
		return strings.Replace(text, "{topic: down,", "{topic: 'down/#',", 1) + "deadletter: {after: 2}\n"
	})
	b.start()
	connected(t, b)
	var mu sync.Mutex
	var got []string
	ready := make(chan struct{}, 10)
	client(t, at[0], "reader", mqtt.Funcs{Connect: func(bool) { ready <- struct{}{} }, Message: func(m *mqtt.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(m.Payload[:1]))
		m.Ack()
	}}, mqtt.TopicInfo{Topic: "down/#", QOS: 1})
	<-ready
	d := client(t, at[1], "writer", nil)
	for _, m := range []struct{ topic, payload string }{
		{"down/ok", "a"},
		// more than a socket takes at once: the hub closes while it is being written
		{"down/ok", "L" + strings.Repeat("x", 600_000)},
		{"down/ok", "b"},
		{"down/forbidden", "F"},
		{"down/ok", "c"},
	} {
		require.NoError(
			t,
			d.PublishWait(context.Background(), mqtt.Message{Topic: m.topic, QOS: 1, Payload: []byte(m.payload)}),
		)
	}
	mqtttest.Until(t, "two are dead letters", func() bool {
		data, _ := os.ReadFile(filepath.Join(b.dir, "var/db/baetyl/parked/messages.jsonl"))
		return strings.Count(string(data), "\n") == 2 && strings.Contains(string(data), `"topic":"down/forbidden"`)
	})
	mqtttest.Until(t, "the others came", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 3 })
	mu.Lock()
	defer mu.Unlock()
	require.Subset(t, got, []string{"a", "b", "c"})
	require.NotContains(t, got, "L")
	mqtttest.Until(
		t,
		"the log tells of both",
		func() bool { return strings.Count(b.said(), `msg="message is kept as a dead letter"`) == 2 },
	)
}
