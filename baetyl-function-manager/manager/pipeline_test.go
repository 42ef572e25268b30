package manager

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

const single = `
rules:
  - {clientid: r1, subscribe: {topic: in, qos: 1}, function: {name: f}, publish: {topic: out, qos: 1}, retry: {max: %d}}
functions:
  - {name: f, service: svc, timeout: %s}
`

// number returns a number of the metrics page.
func number(t *testing.T, page, name string) string {
	t.Helper()
	resp, err := nethttp.Get("http://" + page + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(text)
	require.NotNil(t, found, "%s: %s", name, text)
	return string(found[1])
}

// Messages wait in the only instance. The one that ends it is tried again, alone; those that waited behind it go to the
// next instance, in their order, and that is no attempt.
func TestPoisonBeforeOthers(t *testing.T) {
	page := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	m := start(t, startHub(t).address, fmt.Sprintf(single, 3, "30s")+fmt.Sprintf("metrics: {address: %q}\n", page))
	m.publish("in", 1, "wait go")
	m.publish("in", 1, "crash")
	const n = 50
	for i := range n {
		m.publish("in", 1, fmt.Sprint("m ", i))
	}
	mqtttest.Until(t, "all are with the function", func() bool {
		return number(t, page, `baetyl_rule_underway{function="f",rule="0"}`) == fmt.Sprint(n+2) &&
			number(t, page, `baetyl_function_waiting{function="f"}`) == "0"
	})
	write(t, filepath.Join(m.master.dir, "go"), "")
	got := m.await("out", n+2)
	require.Equal(t, "wait go", got[0]["in"])
	require.Contains(t, got[1]["errorMessage"], "code = Unavailable")
	for i := range n {
		require.Equal(t, fmt.Sprint("m ", i), got[i+2]["in"])
	}
	require.Len(t, m.started(), 4, "one more for each attempt")
	require.Equal(t, "2", number(t, page, `baetyl_rule_messages_total{function="f",kind="retry",rule="0"}`))
	require.NotEqual(t, "0", number(t, page, `baetyl_function_calls_total{function="f",result="unbegun"}`))
}

// An instance that loops for ever, and one that was stopped by SIGSTOP, are killed when the timeout of their message is
// over, and get no time to end by themselves. The message has its error then: it would hang again.
func TestHungInstances(t *testing.T) {
	m := start(t, startHub(t).address, fmt.Sprintf(single, 3, "1s"))
	for i, word := range []string{"hang", "freeze"} {
		m.publish("in", 1, word)
		m.publish("in", 1, "after")
		got := m.await("out", 2*(i+1))[2*i:]
		require.Contains(t, got[0]["errorMessage"], "code = DeadlineExceeded", word)
		require.Equal(t, "after", got[1]["in"], word)
	}
	require.Equal(t, []string{"svc.f.1", "svc.f.1"}, m.master.killedOnes())
	require.Len(t, m.started(), 3)
}

// kill -9 of the only instance of two rules, again and again: each message has a result, and those of a rule keep their
// order.
func TestKillsInOrder(t *testing.T) {
	m := start(t, startHub(t).address, `
functions: [{name: f, service: svc}]
rules:
  - {clientid: r1, subscribe: {topic: in/1, qos: 1}, function: {name: f}, publish: {topic: out/1, qos: 1},
     retry: {max: 20}}
  - {clientid: r2, subscribe: {topic: in/2, qos: 1}, function: {name: f}, publish: {topic: out/2, qos: 1},
     retry: {max: 20}}
`)
	const rounds, n = 24, 3000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			for _, topic := range []string{"in/1", "in/2"} {
				if err := m.out.Publish(mqtt.TopicInfo{Topic: topic}, fmt.Appendf(nil, "log %s %d", topic, i)); err != nil {
					sent <- err
					return
				}
			}
		}
		sent <- m.out.Drain(context.Background())
	}()
	for round := range rounds {
		mqtttest.Until(t, "some results", func() bool { return m.count("out/1")+m.count("out/2") >= 2*round*n/rounds })
		for _, name := range m.living() {
			m.kill(name)
		}
	}
	require.NoError(t, <-sent)
	for _, topic := range []string{"out/1", "out/2"} {
		got := m.await(topic, n)
		require.Len(t, got, n)
		for i := range n {
			require.Equal(t, fmt.Sprintf("log in/%s %d", topic[4:], i), got[i]["in"])
		}
	}
	// The function has seen them in that order too.
	text, err := os.ReadFile(filepath.Join(m.master.dir, "log"))
	require.NoError(t, err)
	next := map[string]int{}
	for line := range strings.Lines(string(text)) {
		topic, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		i, err := strconv.Atoi(number)
		require.NoError(t, err)
		require.LessOrEqual(t, i, next[topic], "it came before others on %s", topic)
		next[topic] = max(next[topic], i+1)
	}
}

// An order key, several instances that end, and many messages: each key keeps its order, and nothing is lost.
func TestKeysAndKills(t *testing.T) {
	m := start(t, startHub(t).address, strings.Replace(fmt.Sprintf(single, 20, "30s"), "service: svc,",
		"service: svc, instance: {max: 3}, order: {key: k},", 1))
	const n, keys = 900, 5
	go func() {
		for i := range n {
			payload := fmt.Appendf(nil, `{"k":%d,"n":%d}`, i%keys, i)
			if m.out.Publish(mqtt.TopicInfo{Topic: "in", QOS: 1}, payload) != nil {
				return
			}
		}
	}()
	for round := 1; round < 9; round++ {
		mqtttest.Until(t, "some results", func() bool { return m.count("out") >= round*n/9 })
		if all := m.living(); len(all) > 0 {
			m.kill(all[0])
		}
	}
	last := map[int]int{}
	for _, got := range m.await("out", n) {
		var k, at int
		_, err := fmt.Sscanf(fmt.Sprint(got["in"]), `{"k":%d,"n":%d}`, &k, &at)
		require.NoError(t, err, "%v", got)
		require.GreaterOrEqual(t, at, last[k])
		last[k] = at
	}
	require.Len(t, last, keys)
}

// A rule that floods its function does not keep another one from it.
func TestRulesTakeTurns(t *testing.T) {
	page := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	m := start(t, startHub(t).address, fmt.Sprintf("metrics: {address: %q}\n", page)+`
functions: [{name: f, service: svc}]
rules:
  - {clientid: r1, subscribe: {topic: in}, function: {name: f}, publish: {topic: out}}
  - {clientid: r2, subscribe: {topic: other}, function: {name: f}, publish: {topic: out}}
`)
	const n = 2000
	m.publish("in", 0, "wait go")
	for i := range n {
		m.publish("in", 0, fmt.Sprint("x", i))
	}
	m.publish("other", 0, "in between")
	mqtttest.Until(t, "all wait", func() bool {
		return number(t, page, `baetyl_rule_underway{function="f",rule="0"}`) == fmt.Sprint(n+1) &&
			number(t, page, `baetyl_rule_underway{function="f",rule="1"}`) == "1"
	})
	write(t, filepath.Join(m.master.dir, "go"), "")
	for i, got := range m.await("out", n+2) {
		if got["in"] == "in between" {
			require.Less(t, i, 200)
			return
		}
	}
	t.Fatal("it has no result")
}
