package hub_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/client"
	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

func freeAddress(t testing.TB) string {
	return fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
}

func get(t *testing.T, url string) string {
	r, err := http.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode, string(b))
	return string(b)
}

func TestMetricsAndHealth(t *testing.T) {
	metrics := freeAddress(t)
	start(t, strings.Replace(open, "address: ''", "address: '"+metrics+"'", 1))
	var last error
	require.Eventually(t, func() bool { _, last = http.Get("http://" + metrics + "/healthz"); return last == nil },
		time.Minute, time.Millisecond, "%v", last)
	require.Equal(t, "ok\n", get(t, "http://"+metrics+"/readyz"))
	text := get(t, "http://"+metrics+"/metrics")
	require.Contains(t, text, "baetyl_hub_connections 0")
	require.Contains(t, text, "# TYPE baetyl_hub_publish_received_total counter")
	require.Contains(t, text, "baetyl_hub_store_errors_total 0")
}

// connect returns a client that puts what it receives into messages, as long as there is room.
func connect(t *testing.T, url, id string) (c *client.Client, messages chan *packet.Message) {
	messages = make(chan *packet.Message, 100)
	c = client.New()
	c.Callback = func(m *packet.Message, err error) error {
		if err != nil {
			close(messages)
			return nil
		}
		select {
		case messages <- m:
		default: // Close would wait for ever
		}
		return nil
	}
	o := client.NewConfigWithClientID(url, id)
	o.ValidateSubs = false
	f, err := c.Connect(o)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
	settle(t, c)
	return c, messages
}

func TestSysIsForThoseWhoMayReadIt(t *testing.T) {
	addrs := start(t, `
listen: ['tcp://127.0.0.1:0']
sys: {interval: 10ms}
metrics: {address: ''}
principals:
- {username: all, password: p, permissions: [{action: sub, permit: ['#']}]}
- {username: sys, password: p, permissions: [{action: sub, permit: ['$SYS/#']}]}
`)
	c, messages := connect(t, "tcp://sys:p@"+addrs[0], "sys")
	_, err := c.Subscribe("$SYS/broker/clients/#", 0)
	require.NoError(t, err)
	for {
		select {
		case m := <-messages:
			if m.Topic == "$SYS/broker/clients/connected" && string(m.Payload) == "1" && !m.Retain {
				require.NoError(t, c.Close())
				other, _ := connect(t, "tcp://all:p@"+addrs[0], "all")
				f, err := other.Subscribe("$SYS/#", 0)
				require.NoError(t, err)
				require.NoError(t, f.Wait(time.Minute))
				require.Equal(t, []packet.QOS{packet.QOSFailure}, f.ReturnCodes())
				require.NoError(t, other.Close())
				return
			}
		case <-time.After(time.Minute):
			t.Fatal("no live $SYS/broker/clients/connected = 1")
		}
	}
}

func TestReloadIsAtomic(t *testing.T) {
	parse := func(yml string) (c config.Config) {
		require.NoError(t, conf.Parse("service.yml", []byte(yml), &c))
		return c
	}
	const head = "listen: ['tcp://127.0.0.1:0']\nmetrics: {address: ''}\nprincipals:\n"
	user := func(name, permit string) string {
		return "- {username: " + name + ", password: p, " +
			"permissions: [{action: sub, permit: ['" + permit + "']}, {action: pub, permit: ['#']}]}\n"
	}
	cfg := parse(head + user("stays", "#") + user("changes", "#"))
	cfg.Storage.Dir = t.TempDir()
	h, err := hub.Open(cfg, log.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	url := h.Addrs()[0].String()
	stays, messages := connect(t, "tcp://stays:p@"+url, "stays")
	_, kicked := connect(t, "tcp://changes:p@"+url, "changes")

	bad := parse(head + user("stays", "#"))
	bad.Principals[0].Permissions[0].Permit = []string{"a#"}
	require.ErrorContains(t, h.Reload(bad), "principals[0].permissions[0].permit[0]")
	bad = parse(head + user("other", "#"))
	bad.Certificate.Cert, bad.Certificate.Key = "no.pem", "no.key"
	require.ErrorContains(t, h.Reload(bad), "certificate")
	select {
	case <-kicked:
		t.Fatal("a configuration that was refused had an effect")
	default:
	}

	next := parse(head + user("stays", "#") + user("changes", "only/#") +
		"subscriptions:\n- {source: {topic: a}, target: {topic: b}}\n")
	require.NoError(t, h.Reload(next))
	select {
	case _, more := <-kicked:
		require.False(t, more)
	case <-time.After(time.Minute):
		t.Fatal("the changed user's connection goes on")
	}
	f, err := stays.Subscribe("b", 0)
	require.NoError(t, err)
	require.NoError(t, f.Wait(time.Minute))
	_, err = stays.Publish("a", []byte("x"), 0, false)
	require.NoError(t, err)
	select {
	case m := <-messages:
		require.Equal(t, "b", m.Topic)
	case <-time.After(time.Minute):
		t.Fatal("the new static route has no effect")
	}
	require.NoError(t, stays.Close())
	cancel()
	require.NoError(t, <-ended)
}
