package config_test

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/listener"
	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/utils/conf"
)

func parse(yml string) (c config.Config, err error) {
	err = conf.Parse("service.yml", []byte(yml), &c)
	return c, err
}

const listen = "listen: ['tcp://:1883']\n"

// The error of each wrong file names the key and what to do.
func TestErrors(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := parse(string(text))
		return err
	})
}

// What is not in the file has the documented default.
func TestDefaults(t *testing.T) {
	c, err := parse(listen)
	require.NoError(t, err)
	require.EqualValues(t, 32<<10, c.Message.Length.Max)
	require.Equal(t, 255, c.Limits().Length)
	require.Equal(t, 8, c.Limits().Levels)
	require.Equal(t, 10000, c.Message.Ingress.QOS0.Buffer.Size)
	require.Equal(t, 100, c.Message.Ingress.QOS1.Buffer.Size)
	require.Equal(t, 48*time.Hour, c.Message.Ingress.QOS1.Cleanup.Retention)
	require.Equal(t, time.Minute, c.Message.Ingress.QOS1.Cleanup.Interval)
	require.Equal(t, 10000, c.Message.Egress.QOS0.Buffer.Size)
	require.EqualValues(t, 16<<20, c.Message.Egress.QOS0.Buffer.Bytes)
	require.Equal(t, 100, c.Message.Egress.QOS1.Buffer.Size)
	require.Equal(t, 50, c.Message.Egress.QOS1.Batch.Max)
	require.Equal(t, 20*time.Second, c.Message.Egress.QOS1.Retry.Interval)
	require.Equal(t, 10000, c.Message.Offset.Buffer.Size)
	require.Equal(t, 100, c.Message.Offset.Batch.Max)
	require.Equal(t, 128, c.Session.ClientID.Length)
	require.Equal(t, 10000, c.Session.Subscriptions.Max)
	require.Equal(t, 1000000, c.Session.Queue.Max)
	require.Equal(t, 3*time.Second, c.Session.Will.Delay)
	require.Zero(t, c.Session.Expiry)
	require.Zero(t, c.Budget.Client.Publish)
	require.Zero(t, c.Budget.Principal.Publish)
	require.Equal(t, listener.Limits{All: 20000, Address: 10000}, c.Connection.Limits())
	require.Equal(t, 10*time.Second, c.Connection.Connect.Timeout)
	require.Equal(t, 3*time.Second, c.Connection.Login.Delay)
	require.Equal(t, 30*time.Second, c.Connection.Write.Timeout)
	require.Empty(t, c.Connection.Origins)
	require.Equal(t, "var/db/baetyl/data", c.Storage.Dir)
	require.Equal(t, "always", c.Storage.Sync)
	require.Equal(t, time.Second, c.Storage.Interval)
	require.Zero(t, c.Storage.Max)
	require.EqualValues(t, 16<<20, c.Storage.Free)
	require.Equal(t, "127.0.0.1:9883", c.Metrics.Address) // not reachable from other machines
	require.Equal(t, time.Minute, c.Metrics.Report.Interval)
	require.Equal(t, 10*time.Second, c.Sys.Interval)
	require.False(t, c.Status.Logging.Enable)
	require.Equal(t, time.Minute, c.Status.Logging.Interval)
	require.Equal(t, 10*time.Minute, c.Shutdown.Timeout)
}

func TestValuesAreTaken(t *testing.T) {
	c, err := parse(`
listen: ['tcp://:1883', 'mqtt://:1884', 'ws://0.0.0.0:8080/mqtt', 'ssl://[::1]:8883', 'tls://:1', 'mqtts://:2',
  'wss://h:3/x']
certificate: {ca: a, cert: b, key: c}
message: {topic: {length: 300, levels: 10}, egress: {qos1: {retry: {interval: 0s}}}}
principals: [{username: x, permissions: [{action: sub, permit: ['a/b/c/d/e/f/g/h/i/j/k', '$SYS/#', '#']}]}]
subscriptions:
- {source: {topic: 'a/+', qos: 1}, target: {topic: b}}
- {source: {topic: 'b/#'}, target: {topic: c/d, qos: 1}}
session: {will: {delay: 0s}, expiry: 720h}
limits: {client: {publish: {rate: 5, bytes: 2k}}, principal: {publish: {bytes: 3m}}}
`)
	require.NoError(t, err)
	require.Equal(t, 10, c.Limits().Levels)
	require.Zero(t, c.Message.Egress.QOS1.Retry.Interval)
	require.Zero(t, c.Session.Will.Delay)
	require.Equal(t, 30*24*time.Hour, c.Session.Expiry)
	require.Equal(t, budget.Rate{Messages: 5, Bytes: 2 << 10}, c.Budget.Client.Publish)
	require.Equal(t, budget.Rate{Bytes: 3 << 20}, c.Budget.Principal.Publish)
	require.Len(t, c.Routes(), 2)
	require.EqualValues(t, 1, c.Routes()[0].SourceQOS)
	require.EqualValues(t, 1, c.Routes()[1].TargetQOS)
}

// The examples that ship with Baetyl are valid.
func TestShippedExamples(t *testing.T) {
	files, err := filepath.Glob("../../example/*/var/db/baetyl/*hub*/service.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		var c config.Config
		require.NoError(t, conf.Load(f, &c), f)
	}
}

// A circle through a wildcard source that matches several targets is found each time. A checker that walks a map in
// random order would miss it now and then.
func TestCircleIsFoundEveryTime(t *testing.T) {
	var text string
	for i := range 200 {
		_, err := parse(listen + `
subscriptions:
- {source: {topic: 'a/+'}, target: {topic: x}}
- {source: {topic: y}, target: {topic: a/1}}
- {source: {topic: z}, target: {topic: a/2}}
- {source: {topic: x}, target: {topic: z}}
- {source: {topic: w}, target: {topic: a/3}}
`)
		require.Error(t, err)
		if i == 0 {
			text = err.Error()
		}
		require.Equal(t, text, err.Error())
	}
	require.Equal(t, `service.yml: subscriptions[0]: its target "x" leads back to its source "a/+", `+
		`so that messages would go round for ever; change one of the two`, text)
}

// Random routes against a reference: there is a circle if and only if some message would take a route twice.
func TestCirclesAgainstReference(t *testing.T) {
	r := rand.New(rand.NewSource(8))
	names := []string{"a", "b", "a/a", "a/b", "b/a"}
	filters := append([]string{"+", "a/+", "+/b", "a/#", "b/#", "+/a"}, names...)
	found := 0
	for range 600 {
		var list [][2]string
		seen := map[[2]string]bool{}
		for range 1 + r.Intn(4) {
			x := [2]string{filters[r.Intn(len(filters))], names[r.Intn(len(names))]}
			if !seen[x] {
				seen[x] = true
				list = append(list, x)
			}
		}
		yml := listen + "subscriptions:\n"
		for _, x := range list {
			yml += fmt.Sprintf("- {source: {topic: '%s'}, target: {topic: '%s'}}\n", x[0], x[1])
		}
		_, err := parse(yml)
		if circle(list) {
			found++
			require.ErrorContains(t, err, "leads back to its source", yml)
		} else {
			require.NoError(t, err, yml)
		}
	}
	require.Greater(t, found, 100)
	require.Less(t, found, 500)
}

// circle follows a message from each target for as many steps as there are routes.
func circle(list [][2]string) bool {
	for _, first := range list {
		at := map[string]bool{first[1]: true}
		for range len(list) + 1 {
			next := map[string]bool{}
			for name := range at {
				for _, x := range list {
					if matches(x[0], name) {
						next[x[1]] = true
					}
				}
			}
			at = next
		}
		if len(at) > 0 {
			return true
		}
	}
	return false
}

func matches(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i == len(n) || level != "+" && level != n[i]:
			return false
		}
	}
	return len(f) == len(n)
}
