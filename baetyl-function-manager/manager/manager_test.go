package manager

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// The test binary is also the manager and the function that the tests run.
func TestMain(m *testing.M) {
	switch os.Getenv("MODULE") {
	case "manager":
		baetyl.Run(Main)
	case "function":
		rpc.Run(handler)
	case "ending":
		fmt.Fprintln(os.Stderr, "no interpreter here")
		os.Exit(127)
	case "foreign":
		foreign()
	default:
		os.Exit(m.Run())
	}
}

// handler does what the payload says.
func handler(ctx context.Context, m *rpc.Message) ([]byte, error) {
	word, rest, _ := strings.Cut(string(m.Payload), " ")
	switch word {
	case "error":
		return nil, errors.New(rest)
	case "empty":
		return nil, nil
	case "crash":
		os.Exit(3)
	case "once": // crashes the first time
		if f, err := os.OpenFile("once-"+rest, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			os.Exit(3)
		}
	case "hang":
		select {} // no deadline helps
	case "freeze":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // this thread may go on for a moment
	case "wait": // until the test makes a file
		for {
			if _, err := os.Stat(rest); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "log":
		f, err := os.OpenFile("log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if _, err := fmt.Fprintln(f, rest); err != nil {
			return nil, err
		}
	case "touch":
		if err := os.WriteFile(rest, nil, 0o600); err != nil {
			return nil, err
		}
	case "big":
		return bytes.Repeat([]byte("x"), 40<<10), nil
	}
	return json.Marshal(map[string]any{
		"in":       string(m.Payload),
		"instance": os.Getenv("BAETYL_SERVICE_INSTANCE_NAME"),
		"topic":    m.Topic,
		"qos":      m.QOS,
		"id":       m.FunctionInvokeID,
		"function": m.FunctionName,
		"time":     m.Timestamp,
	})
}

// system is a running function manager, with a master that starts its instances and a client that sees all messages.
type system struct {
	*master
	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	stderr *mqtttest.Output
	ended  chan error

	out    *mqtt.Dispatcher // what the test publishes
	mu     sync.Mutex
	got    []mqtt.Message
	counts map[string]int // of got, by topic
}

// brokers runs a test against mosquitto and against baetyl-hub.
func brokers(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("mosquitto", func(t *testing.T) { test(t, mqtttest.Mosquitto(t).Address) })
	t.Run("hub", func(t *testing.T) { test(t, startHub(t).address) })
}

var (
	hubBinary = sync.OnceValues(func() (string, error) { return compile("baetyl-hub") })
	sqlBinary = sync.OnceValues(func() (string, error) { return compile("baetyl-function-sql") })
)

func compile(module string) (string, error) {
	dir, err := os.MkdirTemp("", module)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, module)
	build := exec.Command("go", "build", "-o", path, "github.com/baetyl/baetyl/"+module)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", module, err, out)
	}
	return path, nil
}

// hub is a process of baetyl-hub.
type hub struct {
	t       testing.TB
	address string
	admin   string // address of its admin interface
	dir     string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func startHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{t: t, address: fmt.Sprintf("tcp://127.0.0.1:%d", mqtttest.FreePort(t)), dir: t.TempDir()}
	h.admin = "unix://" + filepath.Join(h.dir, "admin.sock")
	write(t, filepath.Join(h.dir, baetyl.ConfigFile), fmt.Sprintf(`
listen: [%q]
admin: {address: %q}
principals:
  - username: test
    password: hahaha
    permissions:
      - {action: pub, permit: ['#']}
      - {action: sub, permit: ['#']}
  - username: narrow
    password: hahaha
    permissions:
      - {action: pub, permit: [ok, dead]}
      - {action: sub, permit: ['#']}
`, h.address, h.admin))
	h.start()
	t.Cleanup(h.kill)
	return h
}

func (h *hub) start() {
	h.t.Helper()
	binary, err := hubBinary()
	require.NoError(h.t, err)
	h.cmd = exec.Command(binary)
	h.cmd.Dir = h.dir
	require.NoError(h.t, h.cmd.Start())
	ended := make(chan struct{})
	h.ended = ended
	go func(c *exec.Cmd) { c.Wait(); close(ended) }(h.cmd)
}

func (h *hub) kill() {
	h.cmd.Process.Kill()
	<-h.ended
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// start runs a manager with the given rules and functions, and a client that sees everything.
func start(t testing.TB, broker, config string) *system {
	t.Helper()
	m := &system{master: newMaster(t), t: t, dir: t.TempDir(), counts: map[string]int{}}
	user := "test"
	if strings.Contains(config, "#narrow") {
		user = "narrow"
	}
	hub := fmt.Sprintf("hub: {address: %q, username: %s, password: hahaha, interval: 100ms}\n", broker, user)
	write(t, filepath.Join(m.dir, baetyl.ConfigFile), hub+config)
	client := mqtt.ClientInfo{
		Address:     broker,
		Username:    "test",
		Password:    "hahaha",
		Interval:    100 * time.Millisecond,
		MaxInflight: 20,
	}
	in := client
	in.ClientID, in.Subscriptions = "test-in", []mqtt.TopicInfo{{Topic: "#", QOS: 1}}
	var err error
	sub, err := mqtt.NewDispatcher(in)
	require.NoError(t, err)
	up := make(chan struct{}, 100)
	require.NoError(t, sub.Start(mqtt.Funcs{Connect: func(bool) { up <- struct{}{} }, Message: func(d *mqtt.Delivery) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, d.Message)
		m.counts[d.Topic]++
		d.Ack()
	}}))
	t.Cleanup(func() { sub.Close() })
	<-up
	client.ClientID = "test-out"
	m.out, err = mqtt.NewDispatcher(client)
	require.NoError(t, err)
	require.NoError(t, m.out.Start(nil))
	t.Cleanup(func() { m.out.Close() })
	m.run()
	t.Cleanup(func() { m.killManager() })
	return m
}

// run starts the manager's process and waits until its rules are connected.
func (m *system) run() {
	m.t.Helper()
	self, err := os.Executable()
	require.NoError(m.t, err)
	m.cmd = exec.Command(self)
	m.cmd.Dir = m.dir
	m.cmd.Env = []string{
		"MODULE=manager",
		"PATH=" + os.Getenv("PATH"),
		"BAETYL_SERVICE_MODE=native",
		"BAETYL_SERVICE_NAME=fm",
		"BAETYL_SERVICE_INSTANCE_NAME=fm",
		"BAETYL_SERVICE_TOKEN=x",
		"BAETYL_MASTER_API_ADDRESS=" + m.address,
	}
	m.stderr = &mqtttest.Output{}
	m.cmd.Stderr = m.stderr
	if testing.Verbose() {
		m.cmd.Stderr = io.MultiWriter(m.stderr, os.Stderr)
	}
	require.NoError(m.t, m.cmd.Start())
	ended := make(chan error, 1)
	m.ended = ended
	go func(c *exec.Cmd) { ended <- c.Wait(); close(ended) }(m.cmd)
	config, err := os.ReadFile(filepath.Join(m.dir, baetyl.ConfigFile))
	require.NoError(m.t, err)
	rules := strings.Count(string(config), "subscribe:")
	mqtttest.Until(m.t, "rules are connected", func() bool {
		select {
		case err := <-ended:
			m.t.Fatalf("manager ended: %v: %s", err, m.stderr)
		default:
		}
		return strings.Count(m.stderr.String(), "msg=connected") >= rules
	})
}

func (m *system) killManager() {
	m.cmd.Process.Kill()
	<-m.ended
}

func (m *system) publish(topic string, qos uint32, payload string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(m.t, m.out.PublishWait(ctx, mqtt.Message{Topic: topic, QOS: qos, Payload: []byte(payload)}))
}

// on returns what came on a topic, decoded.
func (m *system) on(topic string) (out []map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.got {
		if g.Topic == topic {
			body := map[string]any{}
			json.Unmarshal(g.Payload, &body)
			body["QOS"] = g.QOS
			out = append(out, body)
		}
	}
	return out
}

func (m *system) await(topic string, n int) []map[string]any {
	m.t.Helper()
	mqtttest.Until(m.t, fmt.Sprintf("%d messages on %s", n, topic), func() bool { return len(m.on(topic)) >= n })
	return m.on(topic)
}

const simple = `
rules:
  - clientid: r1
    subscribe: {topic: in, qos: 1}
    function: {name: f}
    publish: {topic: out, qos: 1}
functions:
  - name: f
    service: svc
    instance: {max: %d, idletime: %s, evicttime: 50ms}
    timeout: 30s
`

func TestMessageToFunctionAndBack(t *testing.T) {
	brokers(t, func(t *testing.T, broker string) {
		m := start(t, broker, fmt.Sprintf(simple, 1, "5s"))
		require.Empty(t, m.started(), "instances start on demand")
		m.publish("in", 1, `{"id":1}`)
		got := m.await("out", 1)[0]
		require.Equal(t, `{"id":1}`, got["in"])
		require.Equal(t, "svc.f.1", got["instance"])
		require.Equal(t, "in", got["topic"])
		require.Equal(t, "f", got["function"])
		require.Equal(t, 1.0, got["qos"])
		require.Equal(t, uint32(1), got["QOS"])
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got["id"])
		require.InDelta(t, time.Now().Unix(), got["time"], 60)
		m.publish("in", 0, "second")
		require.Equal(t, uint32(0), m.await("out", 2)[1]["QOS"], "min(in, publish)")
		require.Equal(t, []string{"svc.f.1"}, m.started(), "the instance is used again")

		// The function's own error: documented JSON, same instance, no retry.
		m.publish("in", 1, "error on purpose")
		got = m.await("out", 3)[2]
		require.Equal(t, "rpc error: code = Unknown desc = Exception calling application: on purpose", got["errorMessage"])
		require.Equal(t, "*errors.Err", got["errorType"])
		message := got["functionMessage"].(map[string]any)
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte("error on purpose")), message["Payload"])
		require.Equal(t, "in", message["Topic"])
		require.Equal(t, "f", message["FunctionName"])
		require.Len(t, message["FunctionInvokeID"], 36)
		m.publish("in", 1, "empty")
		m.publish("in", 1, "after")
		require.Equal(t, "after", m.await("out", 4)[3]["in"], "an empty result publishes nothing")
		require.Equal(t, []string{"svc.f.1"}, m.started())

		mqtttest.Until(t, "the idle instance is stopped", func() bool { return len(m.living()) == 0 })
		m.publish("in", 1, "again")
		require.Equal(t, "svc.f.1", m.await("out", 5)[4]["instance"])

		// SIGTERM: status 0, nothing left behind.
		require.NoError(t, m.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, <-m.ended, m.stderr.String())
		require.Empty(t, m.living())
	})
}

func TestCrashAndTimeoutReplaceTheInstance(t *testing.T) {
	m := start(t, startHub(t).address, strings.Replace(fmt.Sprintf(simple, 2, "1m"), "timeout: 30s", "timeout: 5s", 1)+`
message: {length: {max: 16k}}
`)
	m.publish("in", 1, "first")
	m.publish("in", 1, "once a")
	m.publish("in", 1, "crash")
	m.publish("in", 1, "hang")
	m.publish("in", 1, "big")
	m.publish("in", 1, "last")
	byInput := map[string]map[string]any{}
	for _, got := range m.await("out", 6) {
		in, _ := got["in"].(string)
		if f, ok := got["functionMessage"].(map[string]any); ok {
			text, _ := base64.StdEncoding.DecodeString(f["Payload"].(string))
			in = string(text)
		}
		byInput[in] = got
	}
	require.Len(t, byInput, 6)
	require.Contains(t, byInput["once a"]["instance"], "svc.f.", "the second attempt succeeded")
	require.Contains(t, byInput["crash"]["errorMessage"], "code = Unavailable")
	require.Contains(t, byInput["hang"]["errorMessage"], "code = DeadlineExceeded")
	require.Contains(t, byInput["big"]["errorMessage"], "message.length.max (16384)")
	require.Contains(t, byInput["last"]["instance"], "svc.f.")
	m.master.mu.Lock()
	defer m.master.mu.Unlock()
	require.LessOrEqual(t, m.most, 2)
	for _, name := range m.starts {
		require.Contains(t, []string{"svc.f.1", "svc.f.2"}, name)
	}
}

// A message for a function whose instances can't start gets an error message, and other rules go on.
func TestStartFailure(t *testing.T) {
	m := start(t, startHub(t).address, `
rules:
  - {clientid: r1, subscribe: {topic: in/broken, qos: 1}, function: {name: b}, publish: {topic: out/broken}}
  - {clientid: r2, subscribe: {topic: in/ending, qos: 1}, function: {name: e}, publish: {topic: out/ending},
     deadletter: {topic: dead, qos: 1}, retry: {max: 2}}
  - {clientid: r3, subscribe: {topic: in/fine, qos: 1}, function: {name: f}, publish: {topic: out/fine}}
functions:
  - {name: b, service: broken}
  - {name: e, service: ending}
  - {name: f, service: svc}
`)
	for round := 1; round <= 2; round++ {
		m.publish("in/broken", 1, "x")
		m.publish("in/ending", 1, "x")
		m.publish("in/fine", 1, "x")
		m.await("out/fine", round)
		got := m.await("out/broken", round)[round-1]
		require.Contains(t, got["errorMessage"], "package of broken is missing")
		require.Contains(t, got["errorMessage"], "start instance of function b")
		got = m.await("dead", round)[round-1]
		require.Contains(t, got["errorMessage"], "no interpreter here", "the reason, long before the timeout of 30s")
		require.Equal(t, uint32(1), got["QOS"])
	}
}

// A runtime that knows nothing but gRPC is served by gRPC, and one of before the secret by hello 1. That their channels
// are not protected is said once.
func TestForeignRuntime(t *testing.T) {
	for _, kind := range []string{"foreign", "older"} {
		t.Run(kind, func(t *testing.T) { foreignRuntime(t, kind) })
	}
}

func foreignRuntime(t *testing.T, kind string) {
	config := strings.Replace(fmt.Sprintf(simple, 2, "1m"), "service: svc", "service: "+kind, 1)
	m := start(t, startHub(t).address, config)
	m.publish("in", 1, "hello")
	require.Equal(t, "hello", m.await("out", 1)[0]["in"])
	m.publish("in", 1, "error x")
	want := "rpc error: code = Unknown desc = Exception calling application: x"
	require.Equal(t, want, m.await("out", 2)[1]["errorMessage"])
	m.publish("in", 1, "crash")
	m.await("out", 3)
	m.publish("in", 1, "again")
	require.Equal(t, "again", m.await("out", 4)[3]["in"])
	require.Equal(t, 1, strings.Count(m.stderr.String(), "is not protected"))
}

// Three slow messages and one that ends its instance: the others are answered meanwhile.
func TestSlowAndPoison(t *testing.T) {
	m := start(t, startHub(t).address, fmt.Sprintf(simple, 4, "1m"))
	for range 3 {
		m.publish("in", 1, "wait go")
	}
	m.publish("in", 1, "crash")
	for i := range 50 {
		m.publish("in", 1, fmt.Sprint("fast ", i))
	}
	got := m.await("out", 51)
	require.Len(t, got, 51)
	write(t, filepath.Join(m.master.dir, "go"), "")
	require.Len(t, m.await("out", 54), 54)
	require.LessOrEqual(t, m.most, 4)
}

// For a result that the hub refuses, an error message is published instead of the same result for ever. The hub refuses
// results that are larger than its limit, which the manager does not know, and topics that are not permitted.
func TestRefusedResult(t *testing.T) {
	h := startHub(t)
	m := start(t, h.address, `#narrow
message: {length: {max: 1m}}
rules:
  - {clientid: r1, subscribe: {topic: in/a, qos: 1}, function: {name: f}, publish: {topic: ok, qos: 1}}
  - {clientid: r2, subscribe: {topic: in/b, qos: 1}, function: {name: f}, publish: {topic: forbidden, qos: 1},
     deadletter: {topic: dead, qos: 1}}
  - {clientid: r3, subscribe: {topic: in/c, qos: 1}, function: {name: f}, publish: {topic: forbidden, qos: 1}}
functions:
  - {name: f, service: svc}
`)
	m.publish("in/a", 1, "big")
	m.publish("in/a", 1, "small")
	m.publish("in/b", 1, "x")
	m.publish("in/c", 1, "x")
	for _, text := range []string{"the hub refuses the result of 40960 bytes on topic ok", "small"} {
		mqtttest.Until(t, text, func() bool { return strings.Contains(fmt.Sprint(m.on("ok")), text) })
	}
	require.Contains(t, m.await("dead", 1)[0]["errorMessage"], "the hub refuses the result")
	// The hub refuses even the error message, as it does when its disk is full: the manager keeps the message, and the
	// hub takes the result later.
	mqtttest.Until(t, "the third message waits", func() bool {
		return strings.Contains(m.stderr.String(), "takes neither result nor error message")
	})
	h.kill()
	path := filepath.Join(h.dir, baetyl.ConfigFile)
	config, err := os.ReadFile(path)
	require.NoError(t, err)
	write(t, path, strings.Replace(string(config), "[ok, dead]", "[ok, dead, forbidden]", 1))
	h.start()
	require.Equal(t, "x", m.await("forbidden", 1)[0]["in"])
}

func TestOrder(t *testing.T) {
	m := start(t, startHub(t).address, `
rules:
  - {clientid: r1, subscribe: {topic: one, qos: 1}, function: {name: one}, publish: {topic: out/one, qos: 1}}
  - {clientid: r2, subscribe: {topic: key, qos: 1}, function: {name: key}, publish: {topic: out/key, qos: 1}}
functions:
  - {name: one, service: svc}
  - {name: key, service: svc, instance: {max: 4}, order: {key: 'k'}}
`)
	const n = 60
	for i := range n {
		word := "x"
		if i == 20 {
			word = "once one" // a retry must not let others pass
		}
		m.publish("one", 1, fmt.Sprintf("%s %d", word, i))
		m.publish("key", 1, fmt.Sprintf(`{"k":%d,"n":%d}`, i%3, i))
	}
	for i, got := range m.await("out/one", n) {
		require.Regexp(t, fmt.Sprintf(" %d$", i), got["in"])
	}
	last := map[int]int{}
	for _, got := range m.await("out/key", n) {
		var in struct{ K, N int }
		require.NoError(t, json.Unmarshal([]byte(got["in"].(string)), &in))
		require.GreaterOrEqual(t, in.N, last[in.K])
		last[in.K] = in.N
	}
}

func TestServerAndMetrics(t *testing.T) {
	server, page := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	more := fmt.Sprintf("server: {address: %q}\nmetrics: {address: %q}\n", server, page)
	m := start(t, startHub(t).address, fmt.Sprintf(simple, 1, "1m")+more)
	c, err := rpc.NewClient(rpc.ClientConfig{Address: server})
	require.NoError(t, err)
	defer c.Close()
	out, err := c.Call(context.Background(), &rpc.Message{FunctionName: "f", Payload: []byte("hello")})
	require.NoError(t, err)
	require.Contains(t, string(out.Payload), `"in":"hello"`)
	_, err = c.Call(context.Background(), &rpc.Message{FunctionName: "g"})
	require.EqualError(t, err, "rpc error: code = Unknown desc = function (g) not found")
	_, err = c.Call(context.Background(), &rpc.Message{FunctionName: "f", Payload: []byte("error x")})
	require.EqualError(t, err, "rpc error: code = Unknown desc = Exception calling application: x")
	m.publish("in", 1, "x")
	m.await("out", 1)
	var resp *nethttp.Response
	mqtttest.Until(t, "the page of metrics", func() bool {
		resp, err = nethttp.Get("http://" + page + "/metrics")
		return err == nil
	})
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `baetyl_function_calls_total{function="f",result="ok"} 2`)
	require.Contains(t, string(text), `baetyl_function_calls_total{function="f",result="error"} 1`)
	require.Contains(t, string(text), `baetyl_function_cold_starts_total{function="f"} 1`)
	require.Contains(t, string(text), `baetyl_rule_messages_total{function="f",kind="received",rule="0"} 1`)
}
