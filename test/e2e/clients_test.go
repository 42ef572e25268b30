//go:build e2e

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/utils/cert"
)

const aptClients = "apt-get install mosquitto-clients, or scripts/setup-test.sh"

// message is one line of mosquitto_sub.
type message struct {
	Topic, Payload string
	QoS            string
	Retain         string
}

// subscriber is a running mosquitto_sub and what it has received.
type subscriber struct {
	s    *system
	mu   sync.Mutex
	got  []message
	logs []string
}

// marker starts the lines that are messages; between them are the lines that mosquitto_sub -d logs.
const marker = "\x1f"

// subscribe starts mosquitto_sub as the user test of the documents and returns once the hub has acknowledged the
// subscription.
func (s *system) subscribe(filter string, args ...string) *subscriber {
	s.t.Helper()
	program := requires.Command(s.t, "mosquitto_sub", aptClients)
	stdbuf := requires.Command(s.t, "stdbuf", "apt-get install coreutils")
	format := strings.Join([]string{marker + "%t", "%q", "%r", "%p"}, marker)
	all := append([]string{"-oL", program, "-d", "-h", "127.0.0.1", "-p", s.port["1883"], "-u", "test", "-P", "hahaha",
		"-t", filter, "-F", format}, args...)
	cmd := exec.Command(stdbuf, all...)
	out, err := cmd.StdoutPipe()
	must(s.t, err)
	cmd.Stderr = os.Stderr
	must(s.t, cmd.Start())
	sub := &subscriber{s: s}
	done := make(chan struct{})
	go func() { defer close(done); sub.read(out) }()
	s.t.Cleanup(func() { cmd.Process.Kill(); <-done; cmd.Wait() })
	s.eventually("mosquitto_sub is subscribed to "+filter, func() error {
		sub.mu.Lock()
		defer sub.mu.Unlock()
		for _, line := range sub.logs {
			if strings.Contains(line, "received SUBACK") {
				return nil
			}
		}
		return fmt.Errorf("it says %q", sub.logs)
	})
	return sub
}

func (b *subscriber) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		fields := strings.SplitN(line, marker, 5)
		b.mu.Lock()
		if len(fields) == 5 {
			b.got = append(b.got, message{Topic: fields[1], QoS: fields[2], Retain: fields[3], Payload: fields[4]})
		} else {
			b.logs = append(b.logs, line)
		}
		b.mu.Unlock()
	}
}

// all returns what came on a topic so far.
func (b *subscriber) all(topic string) []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []message
	for _, m := range b.got {
		if m.Topic == topic {
			out = append(out, m)
		}
	}
	return out
}

// wait returns the first message on a topic whose payload contains all parts.
func (b *subscriber) wait(topic string, parts ...string) message {
	b.s.t.Helper()
	var found message
	b.s.eventually(fmt.Sprintf("a message on %s with %q", topic, parts), func() error {
		all := b.all(topic)
	next:
		for _, m := range all {
			for _, part := range parts {
				if !strings.Contains(m.Payload, part) {
					continue next
				}
			}
			found = m
			return nil
		}
		return fmt.Errorf("on %s came %v", topic, all)
	})
	return found
}

// waitJSON is wait, with the payload as an object.
func (b *subscriber) waitJSON(topic string, parts ...string) map[string]any {
	b.s.t.Helper()
	m := b.wait(topic, parts...)
	var out map[string]any
	if err := json.Unmarshal([]byte(m.Payload), &out); err != nil {
		b.s.t.Fatalf("payload on %s is not an object: %q", topic, m.Payload)
	}
	return out
}

// publish is mosquitto_pub as the user test.
func (s *system) publish(topic, payload string, args ...string) {
	s.t.Helper()
	out, err := s.mosquittoPub(
		append([]string{"-p", s.port["1883"], "-u", "test", "-P", "hahaha", "-t", topic, "-m", payload}, args...)...)
	if err != nil {
		s.t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// mosquittoPub runs mosquitto_pub and returns what it prints.
func (s *system) mosquittoPub(args ...string) (string, error) {
	s.t.Helper()
	program := requires.Command(s.t, "mosquitto_pub", aptClients)
	out, err := exec.Command("timeout", append([]string{"20", program, "-h", "127.0.0.1"}, args...)...).CombinedOutput()
	return string(out), err
}

// visit is one short connection of a client to the hub: connect, subscribe, publish a message to the own subscription,
// receive it. The scripts with MQTT.js and paho take it as JSON and print the outcome as JSON.
type visit struct {
	URL      string `json:"url"` // mqtt, mqtts, ws, wss
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	CA       string `json:"ca,omitempty"`
	Cert     string `json:"cert,omitempty"`
	Key      string `json:"key,omitempty"`
	Topic    string `json:"topic"`
	Payload  string `json:"payload"`
	QoS      int    `json:"qos"`
}

// outcome of a visit: the payload that came back, or what went wrong.
type outcome struct {
	Received string `json:"received"`
	Error    string `json:"error"`
}

// client makes visits with one MQTT library.
type client struct {
	name string
	do   func(t *testing.T, v visit) outcome
}

// libraries are the clients that can speak every transport.
func libraries() []client {
	return []client{{"MQTT.js", mqttjs}, {"paho for Python", paho}, {"paho for Go", pahoGo}}
}

func mqttjs(t *testing.T, v visit) outcome {
	t.Helper()
	node := requires.Command(t, "node", "scripts/setup-test.sh")
	modules := filepath.Join(root, "output/cache/node/node_modules")
	if _, err := os.Stat(modules + "/mqtt"); err != nil {
		requires.Missing(t, "MQTT.js", "scripts/setup-test.sh")
	}
	return runVisit(t, v, []string{"NODE_PATH=" + modules}, node, "testdata/visit.js")
}

func paho(t *testing.T, v visit) outcome {
	t.Helper()
	python := filepath.Join(root, "output/cache/paho/bin/python")
	if _, err := os.Stat(python); err != nil {
		requires.Missing(t, "paho", "scripts/setup-test.sh")
	}
	return runVisit(t, v, nil, python, "testdata/visit.py")
}

func pahoGo(t *testing.T, v visit) (out outcome) {
	t.Helper()
	id := "paho-go-" + v.Username // the client id of another user is refused, and his connection may end a little later
	o := mqtt.NewClientOptions().AddBroker(v.URL).SetClientID(id).SetUsername(v.Username).SetPassword(v.Password).
		SetAutoReconnect(false).SetConnectTimeout(time.Minute)
	if v.CA != "" {
		secure, err := cert.Client(cert.Config{CA: v.CA, Cert: v.Cert, Key: v.Key})
		must(t, err)
		o.SetTLSConfig(secure)
	}
	received := make(chan string, 1) // the first message; others are dropped
	lost := make(chan error, 1)      // a connection ends once
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
	c := mqtt.NewClient(o)
	defer c.Disconnect(0)
	for _, step := range []func() mqtt.Token{
		c.Connect,
		func() mqtt.Token {
			return c.Subscribe(v.Topic, byte(v.QoS), func(_ mqtt.Client, m mqtt.Message) {
				select {
				case received <- string(m.Payload()):
				default:
				}
			})
		},
		func() mqtt.Token { return c.Publish(v.Topic, byte(v.QoS), false, v.Payload) },
	} {
		token := step()
		if !token.WaitTimeout(time.Minute) || token.Error() != nil {
			return outcome{Error: fmt.Sprint(token.Error())}
		}
		if s, ok := token.(*mqtt.SubscribeToken); ok && s.Result()[v.Topic] == 0x80 {
			return outcome{Error: "subscription refused"}
		}
	}
	select {
	case out.Received = <-received:
	case err := <-lost:
		out.Error = err.Error()
	case <-time.After(time.Minute):
		out.Error = "no message within a minute"
	}
	return out
}

func runVisit(t *testing.T, v visit, env []string, args ...string) outcome {
	t.Helper()
	in, err := json.Marshal(v)
	must(t, err)
	cmd := exec.Command("timeout", append(append([]string{"120"}, args...), string(in))...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	started := time.Now()
	data, err := cmd.Output()
	var out outcome
	if jsonErr := json.Unmarshal(data, &out); jsonErr != nil {
		t.Fatalf("%v with %s ended after %v with %v and %q", args, in, time.Since(started), err, data)
	}
	return out
}
