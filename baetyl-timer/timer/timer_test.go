package timer

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/conf"
)

func load(text string) (c config, err error) {
	return c, conf.Parse("service.yml", []byte(text), &c, conf.AllowKeys("hub", "logger"))
}

func TestMessages(t *testing.T) {
	for text, want := range map[string]string{
		``:                              `{"time":1569248128}`,
		`publish: {payload: {id: 1}}`:   `{"id":1,"time":1569248128}`,
		`publish: {payload: {time: x}}`: `{"time":1569248128}`,
		`publish: {payload: {z: 1, a: [1, {b: {1: two}}], "u": "ü<"}}`: "{\"a\":[1,{\"b\":{\"1\":\"two\"}}],\"time\":1569248128,\"u\":\"ü\\u003c\",\"z\":1}",
	} {
		c, err := load(text)
		require.NoError(t, err, text)
		require.Equal(t, want, string(message(c.Publish.Payload, time.Unix(1569248128, 999))), text)
		require.Equal(t, "timer", c.Publish.Topic)
		require.Equal(t, time.Minute, c.Timer.Interval)
	}
}

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		`timer: {interval: 0s}`:         "service.yml: timer.interval: must be more than 0s; found 0s",
		`timer: {interval: -3s}`:        "service.yml: timer.interval: must be more than 0s; found -3s",
		`timer: {interval: 3}`:          "service.yml: timer.interval: a duration needs a unit, for example 3s",
		`publish: {topic: a/+}`:         "service.yml: publish.topic: \"a/+\": topic has a wildcard",
		`publish: {topic: ""}`:          "service.yml: publish.topic: \"\": topic is empty",
		`publish: {qos: 2}`:             "service.yml: publish.qos: must be 0 or 1; found 2",
		`publish: {payload: {x: .nan}}`: "service.yml: publish.payload: has no form in JSON: json: unsupported value: NaN",
		`publish: {payload: [1]}`:       "service.yml: publish.payload: expected a mapping, found a list",
		`timer: {intervall: 3s}`:        `service.yml: timer.intervall: unknown key; did you mean "interval"?`,
	} {
		_, err := load(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestRunFollowsTheClock(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ticks := make(chan time.Time)
	var got []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, ticks, map[string]any{"id": 1}, func(p []byte) { got = append(got, string(p)) })
	}()
	for s := range 3 {
		ticks <- time.Unix(int64(s), 0)
	}
	cancel()
	<-ended
	require.Equal(t, []string{`{"id":1,"time":0}`, `{"id":1,"time":1}`, `{"id":1,"time":2}`}, got)
}

func TestTimerPublishes(t *testing.T) {
	b := mqtttest.Mosquitto(t)
	for qos := range 2 {
		t.Run(fmt.Sprint(qos), func(t *testing.T) {
			topic := fmt.Sprintf("timer/%d", qos)
			got := make(chan mqtt.Message, 100)
			sub, err := mqtt.NewDispatcher(mqtt.ClientInfo{Address: b.Address, ClientID: "sub", CleanSession: true,
				Subscriptions: []mqtt.TopicInfo{{Topic: topic, QOS: 1}, {Topic: "gone"}}})
			require.NoError(t, err)
			require.NoError(t, sub.Start(mqtt.Funcs{Message: func(d *mqtt.Delivery) { d.Ack(); got <- d.Message }}))
			defer sub.Close()
			dir := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc/baetyl"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/baetyl/service.yml"), []byte(fmt.Sprintf(`
hub: {address: %q, clientid: timer1}
timer: {interval: 20ms}
publish: {topic: %s, qos: %d, payload: {id: 1, deep: {a: {b: c}}}}
`, b.Address, topic, qos)), 0o600))
			t.Chdir(dir)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- baetyl.RunContext(ctx, Main) }()
			for range 3 {
				select {
				case m := <-got:
					require.Equal(t, uint32(qos), m.QOS)
					var body map[string]any
					require.NoError(t, json.Unmarshal(m.Payload, &body))
					require.Equal(t, 1.0, body["id"])
					require.InDelta(t, time.Now().Unix(), body["time"], 30)
				case err := <-ended:
					t.Fatal("the timer has ended: ", err)
				case <-time.After(time.Minute):
					t.Fatal("no message of the timer")
				}
			}
			cancel()
			require.NoError(t, <-ended)
		})
	}
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := load(string(text))
		return err
	})
}
