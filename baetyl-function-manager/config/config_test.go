package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
)

func load(text string) (c config.Config, err error) {
	return c, conf.Parse("service.yml", []byte(text), &c, conf.AllowKeys("hub", "logger"))
}

const rule = `
rules:
  - clientid: r
    subscribe: {topic: t}
    function: {name: f}
    publish: {topic: t/hi}
functions:
  - name: f
    service: s
`

func TestDefaults(t *testing.T) {
	c, err := load(rule)
	require.NoError(t, err)
	f := c.Functions[0]
	require.Equal(t, 0, f.Instance.Min)
	require.Equal(t, 1, f.Instance.Max)
	require.Equal(t, 10*time.Minute, f.Instance.IdleTime)
	require.Equal(t, time.Minute, f.Instance.EvictTime)
	require.Equal(t, 30*time.Second, f.Timeout)
	require.Equal(t, time.Minute, f.Backoff.Max)
	require.Equal(t, conf.Size(4<<20), f.Message.Length.Max)
	require.Equal(t, 3, c.Rules[0].Retry.Max)
	require.Equal(t, conf.Size(32<<10), c.Message.Length.Max)
	require.Equal(t, uint32(0), c.Rules[0].Publish.QOS)
}

// A key may be below instance, as documented, or beside it, as in Baetyl 0.1.x; beside instance wins.
func TestPlacesOfKeys(t *testing.T) {
	base := strings.TrimRight(rule, "\n") + "\n"
	for _, text := range []string{
		"    message: {length: {max: 1m}}\n    backoff: {max: 2s}\n    timeout: 3s\n",
		"    instance: {message: {length: {max: 1m}}, backoff: {max: 2s}, timeout: 3s}\n",
		"    instance: {message: {length: {max: 1m}, backoff: {max: 2s}}, timeout: 3s}\n",
		"    message: {length: {max: 1m}, backoff: {max: 2s}}\n    timeout: 3s\n",
		"    message: {length: {max: 1m}}\n    backoff: {max: 2s}\n    timeout: 3s\n" +
			"    instance: {message: {length: {max: 9m}}, backoff: {max: 9s}, timeout: 9s}\n",
	} {
		c, err := load(base + text)
		require.NoError(t, err, text)
		f := c.Functions[0]
		want := []any{conf.Size(1 << 20), 2 * time.Second, 3 * time.Second}
		require.Equal(t, want, []any{f.Message.Length.Max, f.Backoff.Max, f.Timeout}, text)
	}
}

func TestErrorsNameTheKey(t *testing.T) {
	const publish, service = "publish: {topic: t/hi}", "service: s"
	for _, c := range []struct{ old, new, want string }{
		{"name: f}", "name: g}", "rules[0].function.name: function (g) not found; functions has f"},
		{"topic: t}", "topic: t/#/x}", `rules[0].subscribe.topic: "t/#/x": filter has # elsewhere`},
		{"topic: t}", "topic: $SYS/x}", `rules[0].subscribe.topic: "$SYS/x": functions take no topics`},
		{"topic: t}", "topic: ''}", "rules[0].subscribe.topic: must not be empty"},
		{"topic: t}", "topic: t, qos: 2}", "rules[0].subscribe.qos: must be 0 or 1; found 2"},
		{"topic: t/hi", "topic: t/+", `rules[0].publish.topic: "t/+": topic has a wildcard`},
		{"topic: t/hi", "topic: " + strings.Repeat("a/", 9) + "b", "has more than 8 slashes"},
		{"topic: t/hi", "topic: " + strings.Repeat("a", 256), "is longer than 255 bytes"},
		{publish, "deadletter: {topic: t}", "rules[0].publish.topic: must not be empty"},
		{publish, "publish: {topic: a}\n    deadletter: {topic: 'b/#'}",
			`rules[0].deadletter.topic: "b/#": topic has a wildcard`},
		{publish, "publish: {topic: a}\n    retry: {max: 0}",
			"rules[0].retry.max: must be between 1 and 1000; found 0"},
		{service, "service: s\n  - name: f\n    service: t", `functions[1].name: "f" is the name of functions[0] too`},
		{service, "service: s\n    instance: {min: 3, max: 2}",
			"functions[0].instance.min: 3 is more than instance.max, which is 2"},
		{service, "service: s\n    instance: {max: 101}",
			"functions[0].instance.max: must be between 1 and 100; found 101"},
		{service, "service: s\n    instance: {evicttime: 0s}",
			"functions[0].instance.evicttime: must be more than 0s; found 0s"},
		{service, "service: s\n    timeout: -1s", "functions[0].timeout: must be at least 0s; found -1s"},
		{service, "service: s\n    order: {key: 'a..b'}", "functions[0].order.key: path \"a..b\" has an empty name"},
		{service, "servise: s", `functions[0].servise: unknown key; did you mean "service"?`},
	} {
		text := strings.Replace(rule, c.old, c.new, 1)
		require.NotEqual(t, rule, text, c.old)
		_, err := load(text)
		require.ErrorContains(t, err, "service.yml: ")
		require.ErrorContains(t, err, c.want)
	}
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := load(string(text))
		return err
	})
}

func TestClientIDs(t *testing.T) {
	two := func(a, b string) config.Config {
		return config.Config{Rules: []config.Rule{{ClientID: a}, {ClientID: b}}}
	}
	c := two("a", "")
	ids, err := c.ClientIDs(mqtt.ClientInfo{ClientID: "h"})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "h"}, ids)
	_, err = c.ClientIDs(mqtt.ClientInfo{})
	require.ErrorContains(t, err, "rules[1].clientid: is empty, as is hub.clientid")
	_, err = c.ClientIDs(mqtt.ClientInfo{CleanSession: true})
	require.NoError(t, err)
	spelt, err := load(`
rules: [{clientId: s, subscribe: {topic: t}, function: {name: f}, publish: {topic: u}}]
functions: [{name: f, service: s}]
`)
	require.NoError(t, err)
	ids, err = spelt.ClientIDs(mqtt.ClientInfo{ClientID: "h"})
	require.NoError(t, err)
	require.Equal(t, []string{"s"}, ids)
	c = two("", "")
	_, err = c.ClientIDs(mqtt.ClientInfo{ClientID: "h"})
	require.ErrorContains(t, err, `rules[1].clientid: "h" is the client id of rules[0] too`)
}

// The sample of docs/function-manager.md and the example that is installed can be used.
func TestSamples(t *testing.T) {
	doc, err := os.ReadFile("../../docs/function-manager.md")
	require.NoError(t, err)
	_, sample, _ := strings.Cut(string(doc), "```yaml\n")
	sample, _, _ = strings.Cut(sample, "```")
	example, err := os.ReadFile("../../example/native/var/db/baetyl/function-manager-conf/service.yml")
	require.NoError(t, err)
	for _, text := range []string{sample, string(example)} {
		c, err := load(text)
		require.NoError(t, err)
		require.NotEmpty(t, c.Rules)
		_, err = c.ClientIDs(mqtt.ClientInfo{})
		require.NoError(t, err)
	}
}

func TestOrderKey(t *testing.T) {
	for _, c := range []struct{ key, payload, want string }{
		{"topic", `{}`, "the/topic"},
		{"id", `{"id": 12345678901234567890}`, "12345678901234567890"},
		{"device.id", `{"device":{"id":"x"}}`, `"x"`},
		{"items[1].n", `{"items":[{"n":1},{"n": {"a": 2}}]}`, `{"a":2}`},
		{"[0]", `["x"]`, `"x"`},
		{"id", `{"ID":1}`, ""},
		{"id", `no json`, ""},
		{"a.b", `{"a":1}`, ""},
		{"a[3]", `{"a":[1]}`, ""},
	} {
		key, err := config.ParseOrder(c.key)
		require.NoError(t, err, c.key)
		require.Equal(t, c.want, key("the/topic", []byte(c.payload)), "%s of %s", c.key, c.payload)
	}
	none, err := config.ParseOrder("")
	require.NoError(t, err)
	require.Nil(t, none)
	for _, bad := range []string{".", "a.", "a[", "a[x]", "a[-1]", "a[1]b", "a[1]["} {
		_, err := config.ParseOrder(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseOrder(f *testing.F) {
	for _, s := range []string{"a.b[0].c", "[1][2]", "topic", "a..b", "a[", "a]"} {
		f.Add(s, []byte(`{"a":{"b":[{"c":1}]}}`))
	}
	f.Fuzz(func(t *testing.T, key string, payload []byte) {
		k, err := config.ParseOrder(key)
		if err == nil && k != nil {
			_ = fmt.Sprint(k("t", payload))
		}
	})
}
