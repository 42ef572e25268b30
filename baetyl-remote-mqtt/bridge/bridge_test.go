package bridge_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/bridge"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/deadletter"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

func info(address, id string) mqtt.ClientInfo {
	// so that reconnects don't make a test slow
	return mqtt.ClientInfo{Address: address, ClientID: id, Interval: 50 * time.Millisecond}
}

var ids atomic.Int64

// unique makes a client id that no other client of the tests has: two with one id at one broker would end each
// other's connections.
func unique(name string) string { return fmt.Sprint(name, "-", ids.Add(1)) }

// link joins two brokers with one subscription a direction; "" is none.
func link(near, far, up, down string) config.Link {
	l := config.Link{Remote: "far", Near: info(near, "bridge"), Far: info(far, "bridge")}
	if up != "" {
		l.Up = []config.Subscription{{TopicInfo: mqtt.TopicInfo{Topic: up, QOS: 1}}}
		l.Near.Subscriptions = []mqtt.TopicInfo{l.Up[0].TopicInfo}
	}
	if down != "" {
		l.Down = []config.Subscription{{TopicInfo: mqtt.TopicInfo{Topic: down, QOS: 1}}}
		l.Far.Subscriptions = []mqtt.TopicInfo{l.Down[0].TopicInfo}
	}
	return l
}

type running struct {
	*bridge.Bridge
	stop func() // as SIGTERM does
}

func start(t *testing.T, l config.Link, letters bridge.DeadLetters, tries int) running {
	t.Helper()
	b, err := bridge.New(l, letters, tries, log.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); require.NoError(t, <-ended) })
	t.Cleanup(stop)
	return running{b, stop}
}

func (r running) connected(t *testing.T) {
	t.Helper()
	mqtttest.Until(t, "the bridge is connected on both sides", func() bool {
		s := r.Stats()
		return !s.Hub.Since.IsZero() && !s.Far.Since.IsZero()
	})
}

func letters(t *testing.T) *deadletter.File { return deadletter.New(file.OS, t.TempDir(), 1<<20) }

func client(t *testing.T, address string) *mqtt.Dispatcher {
	t.Helper()
	cfg := info(address, unique("publisher"))
	cfg.MaxInflight = 1000
	d, err := mqtt.NewDispatcher(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Start(nil))
	t.Cleanup(func() { d.Close() })
	return d
}

func publish(t *testing.T, d *mqtt.Dispatcher, topic string, qos uint32, payloads ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, p := range payloads {
		require.NoError(t, d.PublishAsync(ctx, mqtt.Message{Topic: topic, QOS: qos, Payload: []byte(p)}, nil))
	}
	require.NoError(t, d.Drain(ctx))
}

// sink is a subscriber with a session that stays.
type sink struct {
	mu  sync.Mutex
	got []mqtt.Message
}

func subscribe(t *testing.T, address, filter string) *sink {
	t.Helper()
	s, ready := &sink{}, make(chan struct{}, 100)
	cfg := info(address, unique("sink"))
	cfg.Subscriptions = []mqtt.TopicInfo{{Topic: filter, QOS: 1}}
	d, err := mqtt.NewDispatcher(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Start(mqtt.Funcs{Connect: func(bool) { ready <- struct{}{} }, Message: func(m *mqtt.Delivery) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, m.Message)
		m.Ack()
	}}))
	t.Cleanup(func() { d.Close() })
	<-ready
	return s
}

func (s *sink) payloads() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.got {
		out = append(out, string(m.Payload))
	}
	return out
}

func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// missing lists what of want did not come, and counts what came more than once.
func missing(got, want []string) (absent []string, twice int) {
	seen := map[string]int{}
	for _, p := range got {
		seen[p]++
	}
	for _, p := range want {
		if seen[p] == 0 {
			absent = append(absent, p)
		}
		twice += max(0, seen[p]-1)
	}
	return absent, twice
}

func TestBothDirections(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.Mosquitto(t)
	l := link(near.Address, far.Address, "up/#", "down/+")
	l.Up[0].Prefix, l.Down[0].Strip, l.Down[0].Prefix = "edge/1", "down", "from/cloud"
	b := start(t, l, letters(t), 5)
	b.connected(t)
	atFar, atNear := subscribe(t, far.Address, "edge/#"), subscribe(t, near.Address, "from/#")
	want := numbers(0, 300)
	publish(t, client(t, near.Address), "up/x", 1, want...)
	publish(t, client(t, far.Address), "down/y", 1, want...)
	mqtttest.Until(
		t,
		"all came, both ways",
		func() bool { return len(atFar.payloads()) >= 300 && len(atNear.payloads()) >= 300 },
	)
	require.Equal(t, want, atFar.payloads(), "in order, once")
	require.Equal(t, want, atNear.payloads())
	require.Equal(t, mqtt.Message{Topic: "edge/1/up/x", QOS: 1, Payload: []byte("0")}, atFar.got[0])
	require.Equal(t, mqtt.Message{Topic: "from/cloud/y", QOS: 1, Payload: []byte("0")}, atNear.got[0])
	publish(t, client(t, near.Address), "up/zero", 0, "z")
	mqtttest.Until(t, "the QoS 0 message", func() bool { return len(atFar.payloads()) == 301 })
	require.Equal(t, uint32(0), atFar.got[300].QOS)
	var s bridge.Stats
	mqtttest.Until(t, "all are counted, which may be later than they come", func() bool {
		s = b.Stats()
		return s.Up.Forwarded == 301 && s.Down.Forwarded == 300
	})
	require.Zero(t, s.Up.DeadLetters+s.Up.Dropped+s.Up.Unwanted+s.Down.DeadLetters)
}

// The source's copy lives until the far side has acknowledged: a bridge that ends before has lost nothing, one that
// ends in order repeats nothing.
func TestAcknowledgedOnlyAfterTheFarSide(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	l := link(near.Address, far.Address, "up", "")
	l.Far.KeepAlive = time.Second
	first := start(t, l, letters(t), 5)
	first.connected(t)
	far.Judge(func(p *packet.Publish) mqtttest.Outcome {
		if string(p.Message.Payload) == "3" {
			return mqtttest.Mute
		}
		return mqtttest.Take
	})
	publish(t, client(t, near.Address), "up", 1, numbers(0, 6)...)
	mqtttest.Until(t, "three are through", func() bool { return first.Stats().Up.Forwarded == 3 })
	connects := far.Connects()
	mqtttest.Until(t, "the silent link is found", func() bool { return far.Connects() > connects })
	first.stop()
	require.Equal(t, numbers(0, 3), far.Got())
	far.Judge(nil)
	second := start(t, l, letters(t), 5)
	mqtttest.Until(t, "the others come again", func() bool { return second.Stats().Up.Forwarded == 3 })
	second.stop()
	require.Equal(t, numbers(0, 6), far.Got())
	third := start(t, l, letters(t), 5)
	third.connected(t)
	publish(t, client(t, near.Address), "up", 1, "6")
	mqtttest.Until(t, "the next", func() bool { return len(far.Got()) >= 7 })
	require.Equal(t, numbers(0, 7), far.Got(), "nothing twice")
}

// C11: a retained message crosses as one, and once, not with each connection.
func TestRetained(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.Mosquitto(t)
	ctx := context.Background()
	c := client(t, near.Address)
	require.NoError(t, c.PublishWait(ctx, mqtt.Message{Topic: "up/state", QOS: 1, Payload: []byte("on"), Retain: true}))
	b := start(t, link(near.Address, far.Address, "up/+", ""), letters(t), 5)
	mqtttest.Until(t, "it crossed", func() bool { return b.Stats().Up.Forwarded == 1 })
	late := subscribe(t, far.Address, "up/state")
	mqtttest.Until(t, "the far side keeps it", func() bool { return len(late.payloads()) == 1 })
	near.Stop()
	near.Start()
	mqtttest.Until(t, "it came again and went no further", func() bool { return b.Stats().Up.Known == 1 })
	require.NoError(t, c.PublishWait(ctx, mqtt.Message{Topic: "up/state", QOS: 1, Payload: []byte("off"), Retain: true}))
	mqtttest.Until(t, "a new one crosses", func() bool { return len(late.payloads()) == 2 })
	require.Equal(t, []string{"on", "off"}, late.payloads())
}

// The source's session may remember subscriptions that are gone from the configuration.
func TestSubscriptionThatIsGone(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	l := link(near.Address, far.Address, "old", "")
	first := start(t, l, letters(t), 5)
	first.connected(t)
	first.stop()
	c := client(t, near.Address)
	publish(t, c, "old", 1, "x")
	second := start(t, link(near.Address, far.Address, "new", ""), letters(t), 5)
	mqtttest.Until(t, "it is dropped", func() bool { return second.Stats().Up.Unwanted == 1 })
	publish(t, c, "new", 1, "y")
	mqtttest.Until(t, "the new one passes", func() bool { return len(far.Got()) == 1 })
	require.Equal(t, []string{"y"}, far.Got())
}
