package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
)

// load reads a whole service.yml, as the module reads it: once for `hub` and `logger`, once for the rest.
func load(text string) (mqtt.ClientInfo, config.Config, error) {
	var system struct {
		Hub mqtt.ClientInfo `yaml:"hub" json:"hub"`
	}
	var cfg config.Config
	if err := conf.Parse("service.yml", []byte(text), &system, conf.AllowOthers()); err != nil {
		return system.Hub, cfg, err
	}
	return system.Hub, cfg, conf.Parse("service.yml", []byte(text), &cfg, conf.AllowKeys("hub", "logger"))
}

func plan(text string) ([]config.Link, error) {
	hub, cfg, err := load(text)
	if err != nil {
		return nil, err
	}
	return cfg.Plan(hub, "service")
}

// The tutorial "Message Synchronize between Baetyl-Hub and Baidu IoTHub", letter for letter.
const tutorial = `name: remote-iothub
hub:
  address: tcp://localhub:1883
  username: test
  password: hahaha
remotes:
  - name: iothub
    address: 'ssl://xxxxxx.mqtt.iot.bj.baidubce.com:1884'
    clientid: remote-iothub-1
    username: xxxx/test
    ca: var/db/baetyl/cert/ca.pem
    cert: var/db/baetyl/cert/client.pem
    key: var/db/baetyl/cert/client.key
rules:
  - hub:
      subscriptions:
        - topic: t1
    remote:
      name: iothub
      subscriptions:
        - topic: t2
          qos: 1
logger:
  path: var/log/baetyl/remote-service.log
  level: 'debug'
`

func TestTutorial(t *testing.T) {
	links, err := plan(tutorial)
	require.NoError(t, err)
	require.Len(t, links, 1)
	l := links[0]
	require.Equal(t, "iothub", l.Remote)
	require.Equal(t, "remote-iothub-1", l.Far.ClientID)
	require.Equal(t, "remote-iothub-iothub", l.Near.ClientID)
	require.False(t, l.Near.CleanSession || l.Far.CleanSession, "sessions stay")
	require.Equal(t, []mqtt.TopicInfo{{Topic: "t1"}}, l.Near.Subscriptions)
	require.Equal(t, []mqtt.TopicInfo{{Topic: "t2", QOS: 1}}, l.Far.Subscriptions)
	require.Equal(t, "var/db/baetyl/cert/client.pem", l.Far.Cert)
	require.Nil(t, l.Will)
}

// The defaults of the documents, and those of the additions.
func TestDefaults(t *testing.T) {
	_, cfg, err := load("remotes: [{name: r, address: 'tcp://r'}]")
	require.NoError(t, err)
	want := mqtt.ClientInfo{
		Address:     "tcp://r",
		Timeout:     30 * time.Second,
		Interval:    time.Minute,
		KeepAlive:   time.Minute,
		BufferSize:  10,
		MaxInflight: 20,
		Message:     mqtt.Limits{Length: mqtt.Length{Max: 4 << 20}},
	}
	require.Equal(t, want, cfg.Remotes[0].ClientInfo)
	require.Equal(t, time.Minute, cfg.Metrics.Report.Interval)
}

// Both names of the section are read, and are the same.
func TestDeadLetters(t *testing.T) {
	for text, want := range map[string]config.DeadLetter{
		"name: x":                               {After: 3, Path: "var/db/baetyl/parked", Size: 16 << 20},
		"deadletter:":                           {After: 3, Path: "var/db/baetyl/parked", Size: 16 << 20},
		"deadletter: {after: 5}":                {After: 5, Path: "var/db/baetyl/parked", Size: 16 << 20},
		"park: {after: 5}":                      {After: 5, Path: "var/db/baetyl/parked", Size: 16 << 20},
		"park: {after: 1, path: a/b, size: 1m}": {After: 1, Path: "a/b", Size: 1 << 20},
	} {
		_, cfg, err := load(text)
		require.NoError(t, err, text)
		got, err := cfg.DeadLetters()
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

const head = "hub: {address: 'tcp://h'}\nremotes: [{name: a, address: 'tcp://a'}, {name: b, address: 'tcp://b', " +
	"clientid: dev}]\n"

// C10: no two connections of the bridge have one id at one broker, and a start changes none.
func TestClientIDs(t *testing.T) {
	rule := func(text string) string { return " - {hub: {" + text + "\n" }
	links, err := plan(head + "rules:\n" +
		rule("subscriptions: [{topic: x1}]}, remote: {name: a}}") +
		rule("subscriptions: [{topic: x2}]}, remote: {name: a}}") +
		rule("subscriptions: [{topic: x3}]}, remote: {name: b}}") +
		rule("subscriptions: [{topic: x4}]}, remote: {name: b}}") +
		rule("clientid: mine, subscriptions: [{topic: x5}]}, remote: {name: b, clientid: dev-2}}"))
	require.NoError(t, err)
	var near, far []string
	for _, l := range links {
		near, far = append(near, l.Near.ClientID), append(far, l.Far.ClientID)
	}
	require.Equal(t, []string{"service-a", "service-a-2", "service-b", "service-b-2", "mine"}, near)
	require.Equal(t, []string{"service-a", "service-a-2", "dev", "dev-3", "dev-2"}, far)

	links, err = plan("hub: {address: 'tcp://h', clientid: bridge}\nremotes: [{name: ü/1, address: 'tcp://a'}]\n" +
		"rules: [{hub: {subscriptions: [{topic: x}]}, remote: {name: ü/1}}]")
	require.NoError(t, err)
	require.Equal(t, "bridge", links[0].Near.ClientID)
	require.Equal(t, "service---1", links[0].Far.ClientID)
}

func TestErrors(t *testing.T) {
	rules := func(text string) string { return head + "rules: [" + text + "]" }
	for _, c := range [][2]string{
		{rules("{hub: {subscriptions: [{topic: x}]}, remote: {name: c}}"),
			"service.yml: rules[0].remote.name: remote (c) not found; remotes has a, b"},
		{"rules: [{hub: {subscriptions: [{topic: x}]}, remote: {name: c}}]",
			"remote (c) not found; remotes has no entry"},
		{rules("{hub: {subscriptions: [{topic: x}]}}"),
			"rules[0].remote.name: must not be empty"},
		{rules("{remote: {name: a}}"),
			"rules[0].hub.subscriptions: is empty, as is remote.subscriptions"},
		{"remotes: [{name: a, address: 'tcp://a'}, {name: a, address: 'tcp://b'}]",
			`remotes[1].name: "a" is the name of remotes[0] too`},
		{"remotes: [{address: 'tcp://a'}]",
			"remotes[0].name: must not be empty"},
		{"remotes: [{name: a, adress: 'tcp://a'}]",
			`remotes[0].adress: unknown key; did you mean "address"?`},
		{"remotes: [{name: a, subscriptions: [{topic: x}]}]",
			"remotes[0].subscriptions: belongs to a rule"},
		{"remotes: [{name: a, maxinflight: 0}]",
			"maxinflight: must be between 1 and 65000; found 0"},
		{rules("{hub: {subscriptions: [{topic: 'x/#/y'}]}, remote: {name: a}}"),
			`rules[0].hub.subscriptions[0].topic: "x/#/y": filter has #`},
		{rules("{hub: {subscriptions: [{topic: x, qos: 2}]}, remote: {name: a}}"),
			"rules[0].hub.subscriptions[0]"},
		{rules("{hub: {subscriptions: [{topic: ''}]}, remote: {name: a}}"),
			"rules[0].hub.subscriptions[0]"},
		{rules("{hub: {subscriptions: [{topic: x, prefix: 'a/+'}]}, remote: {name: a}}"),
			`subscriptions[0].prefix: "a/+": topic has a wildcard`},
		{rules("{hub: {subscriptions: [{topic: x, prefix: 'a/'}]}, remote: {name: a}}"),
			`prefix: "a/": ends with a slash`},
		{rules("{hub: {subscriptions: [{topic: 'x/#', strip: y}]}, remote: {name: a}}"),
			`strip: topic "x/#" does not begin with "y"`},
		{rules("{hub: {subscriptions: [{topic: 'xy/#', strip: x}]}, remote: {name: a}}"),
			`strip: topic "xy/#" does not begin with "x"`},
		{rules("{hub: {subscriptions: [{topic: x, strip: x}]}, remote: {name: a}}"),
			`strip: nothing is left of topic "x"`},
		{rules("{hub: {subscriptions: [{topic: 'x/#'}, {topic: '+/y', prefix: p}]}, remote: {name: a}}"),
			"rules[0].hub.subscriptions[1].topic: +/y has topics in common with subscriptions[0] (x/#)"},
		{rules("{hub: {subscriptions: [{topic: x}]}, remote: {name: a, will: {topic: 'w/#'}}}"),
			`rules[0].remote.will.topic: "w/#": topic has a wildcard`},
		{rules("{hub: {subscriptions: [{topic: x}]}, remote: {name: a, will: {qos: 2}}}"),
			"rules[0].remote.will.qos"},
		{rules("{hub: {clientid: i, subscriptions: [{topic: x}]}, remote: {name: a}}, " +
			"{hub: {clientid: i, subscriptions: [{topic: y}]}, remote: {name: b}}"),
			`rules[1].hub.clientid: "i" is that of rules[0].hub.clientid too`},
		{"remotes: [{name: a, address: 'tcp://a'}]\nrules: [{hub: {subscriptions: [{topic: x}]}, remote: {name: a}}]",
			"hub.address: is empty"},
		{"hub: {address: 'tcp://h', subscriptions: [{topic: x}]}",
			"hub.subscriptions: belongs to a rule"},
		{"park: {after: 0}",
			"park.after: must be between 1 and 1000; found 0"},
		{"park: {size: 1x}",
			"park.size"},
		{"deadletter: {path: ''}",
			"deadletter.path: must not be empty"},
		{"deadletter: {after: 2}\npark: {after: 2}",
			"park: is the older name of deadletter"},
		{"metrics: {report: {interval: 0s}}",
			"metrics.report.interval: must be more than 0s; found 0s"},
	} {
		_, err := plan(c[0])
		require.ErrorContains(t, err, c[1], c[0])
	}
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, cfg, err := load(string(text))
		if err == nil {
			err = cfg.CheckRemotes()
		}
		return err
	})
}

func TestCheckRemotes(t *testing.T) {
	for text, want := range map[string]string{
		"{name: a}":                      "remotes[0].address: is empty",
		"{name: a, address: 'http://x'}": `remotes[0].address: "http://x" has none of the schemes`,
		"{name: a, address: 'tcp://x'}, {name: b, address: x}":     "remotes[1].address",
		"{name: a, address: 'ssl://x', ca: no.pem}":                "remotes[0].ca: load ca: open no.pem",
		"{name: a, address: 'tcp://x', password: p}":               "remotes[0].username: is empty, but password is set",
		"{name: a, address: 'ssl://x', cert: no.pem, key: no.key}": "remotes[0].cert: load cert no.pem",
	} {
		_, cfg, err := load("remotes: [" + text + "]")
		require.NoError(t, err, text)
		require.ErrorContains(t, cfg.CheckRemotes(), want, text)
	}
	_, cfg, err := load(head)
	require.NoError(t, err)
	require.NoError(t, cfg.CheckRemotes())
}

func TestWill(t *testing.T) {
	links, err := plan(
		head + "rules: [{hub: {subscriptions: [{topic: x}]}, remote: {name: a, will: {topic: gone, payload: p, qos: 1, " +
			"retain: true}}}]",
	)
	require.NoError(t, err)
	require.Equal(t, &mqtt.Message{Topic: "gone", Payload: []byte("p"), QOS: 1, Retain: true}, links[0].Will)
}
