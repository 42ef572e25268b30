//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

const remoteFile = "var/db/baetyl/remote-iothub-conf/service.yml"

// farBroker is the cloud: a mosquitto that lets in only clients with a certificate of its CA.
type farBroker struct {
	*mqtttest.Broker
	port  string
	certs string // folder
}

func newFarBroker(t *testing.T, extra ...string) farBroker {
	t.Helper()
	c := farBroker{port: strconv.Itoa(mqtttest.FreePort(t)), certs: foreignCA(t)}
	conf := append(extra,
		"listener "+c.port+" 127.0.0.1",
		"cafile "+c.certs+"/ca.pem",
		"certfile "+c.certs+"/server.pem",
		"keyfile "+c.certs+"/server.key",
		"require_certificate true",
	)
	c.Broker = mqtttest.Mosquitto(t, conf...)
	return c
}

// args are what mosquitto's clients need to connect.
func (c farBroker) args(more ...string) []string {
	return append([]string{
		"-p", c.port,
		"--cafile", c.certs + "/ca.pem",
		"--cert", c.certs + "/client.pem",
		"--key", c.certs + "/client.key",
	}, more...)
}

// pageBlock takes a file from a page of the documentation.
func pageBlock(t *testing.T, page, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "\n`"+name+"`\n\n```yaml\n")
	block, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatalf("%s has no block %s", page, name)
	}
	return block
}

// withCloud is the system of the tutorial: a hub, and a bridge to the cloud.
func withCloud(t *testing.T, c farBroker, change func(service string) string) *system {
	t.Helper()
	s := newSystem(t)
	for _, name := range []string{appFile, hubFile, remoteFile} {
		s.write(name, pageBlock(t, "docs/tutorials/remote-mqtt.md", name))
	}
	s.edit(remoteFile, func(text string) string {
		return change(strings.ReplaceAll(text, "127.0.0.1:1884", "127.0.0.1:"+c.port))
	})
	if mode == masterapi.ModeDocker { // the cloud listens on 127.0.0.1 of this host
		s.replace(appFile, "    image: baetyl-remote-mqtt\n", "    image: baetyl-remote-mqtt\n    network_mode: host\n")
		s.edit(remoteFile, func(text string) string {
			return strings.ReplaceAll(text, "localhub:1883", "127.0.0.1:"+s.port["1883"])
		})
	}
	dir := s.path("var/db/baetyl/remote-iothub-cert")
	must(t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"ca.pem", "client.pem", "client.key"} {
		data, err := os.ReadFile(filepath.Join(c.certs, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return s
}

// Tutorial "Message Synchronize between Baetyl-Hub and Baidu IoTHub via Baetyl-Remote-MQTT module", with mosquitto
// for the cloud.
func TestRemote(t *testing.T) {
	c := newFarBroker(t)
	s := withCloud(t, c, func(text string) string { return text + "metrics: {report: {interval: 1s}}\n" }).start()
	s.logged("msg=connected", "side=hub", "clientid=remote-iothub-iothub")
	s.logged("msg=connected", "side=remote", "clientid=remote-iothub-1")
	atCloud, atHub := s.subscribe("t1", c.args()...), s.subscribe("t2")
	s.publish("t1", "This message is from MQTTBox.")
	atCloud.wait("t1", "This message is from MQTTBox.")
	if out, err := s.mosquittoPub(c.args("-t", "t2", "-q", "1", "-m", "This message is from MQTT.fx.")...); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
	atHub.wait("t2", "This message is from MQTT.fx.")
	s.eventually("inspect shows the numbers of the rule", func() error {
		data, err := s.inspectRaw()
		if n := strings.Count(string(data), `"forwarded":1`); err == nil && n != 2 {
			err = fmt.Errorf("it shows %s", data)
		}
		return err
	})
}

// The log says what is wrong with certificates and configuration.
func TestRemoteSaysWhatIsWrong(t *testing.T) {
	nativeFirst(t)
	c := newFarBroker(t)
	for name, x := range map[string]struct {
		change func(string) string
		want   []string // in one line of the log
	}{
		"no client certificate": {func(text string) string {
			text = strings.Replace(text, "    cert: var/db/baetyl/cert/client.pem\n", "", 1)
			return strings.Replace(text, "    key: var/db/baetyl/cert/client.key\n", "", 1)
		}, []string{"side=remote", "tls: certificate required"}},
		"unknown authority": {func(text string) string {
			return strings.Replace(text, "    ca: var/db/baetyl/cert/ca.pem\n", "", 1)
		}, []string{"side=remote", "certificate signed by unknown authority"}},
		"wrong password of the hub": {func(text string) string {
			return strings.Replace(text, "hahaha", "wrong", 1)
		}, []string{"side=hub", "bad user name or password"}},
		"unknown remote": {func(text string) string {
			return strings.Replace(text, "      name: iothub", "      name: cloud", 1)
		}, []string{"etc/baetyl/service.yml: rules[0].remote.name: remote (cloud) not found; remotes has iothub"}},
		"a loop": {func(text string) string {
			return strings.Replace(text, "topic: t2", "topic: t1", 1)
		}, []string{"rules[0].hub.subscriptions[0]: t1 would go round for ever"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := withCloud(t, c, x.change)
			s.start()
			s.logged(x.want...)
		})
	}
}

// kill -9 of the bridge, the hub and the cloud while messages flow at QoS 1: each arrives. REMOTE_ROUNDS sets how
// often.
func TestRemoteKill9(t *testing.T) {
	nativeFirst(t)
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("REMOTE_ROUNDS")); err == nil {
		rounds = n
	}
	// mosquitto keeps messages in memory until it saves, so when it is killed it loses what waits in it. A subscriber at
	// QoS 0 gets a message before mosquitto acknowledges it, and its session is saved before the first kill: so a
	// message that is missing was lost by the bridge.
	c := newFarBroker(t, "queue_qos0_messages true")
	s := withCloud(t, c, func(text string) string {
		text = strings.Replace(text, "- topic: t1\n", "- topic: t1\n          qos: 1\n", 1)
		text = strings.Replace(text, "level: 'debug'", "level: info", 1)
		text = strings.Replace(text, "hub:\n  address", "hub:\n  interval: 1s\n  address", 1)
		return strings.Replace(text, "  - name: iothub\n", "  - name: iothub\n    interval: 1s\n", 1)
	})
	const replica = "    replica: 1\n"
	s.edit(appFile, func(text string) string { // without it the master would wait longer after each kill
		return strings.ReplaceAll(text, replica, replica+"    restart: {policy: always, backoff: {max: 1s}}\n")
	})
	s.start()
	s.logged("msg=connected", "side=hub")
	s.logged("msg=connected", "side=remote")
	sub := c.count(t, "t1")
	must(t, exec.Command("kill", "-USR1", strconv.Itoa(c.PID())).Run())

	d, err := mqtt.NewDispatcher(mqtt.ClientInfo{
		Address:  "tcp://127.0.0.1:" + s.port["1883"],
		ClientID: "load",
		Username: "test",
		Password: "hahaha",
		Interval: time.Second,
	})
	must(t, err)
	must(t, d.Start(nil))
	defer d.Close()
	stop, sent := make(chan struct{}), 0
	var load sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond): // a steady flow
			}
			if err := d.Publish(mqtt.TopicInfo{Topic: "t1", QOS: 1}, fmt.Append(nil, sent)); err != nil {
				t.Errorf("publish: %v", err)
				return
			}
			sent++
		}
	})
	flows := func(what string) {
		t.Helper()
		before, _ := sub.came()
		s.eventually("messages flow again after the "+what, func() error {
			if now, _ := sub.came(); now < before+200 {
				return fmt.Errorf("%d came, %d before", now, before)
			}
			return nil
		})
	}
	flows("start")
	for range rounds {
		for _, service := range []string{"remote-iothub", "localhub"} {
			must(t, syscall.Kill(s.one(service).pid, syscall.SIGKILL))
			flows("end of " + service)
		}
		connects := sub.connects.Load()
		c.Kill()
		c.Start()
		s.eventually("the subscriber is back at the cloud", func() error {
			if sub.connects.Load() == connects {
				return errors.New("it is not")
			}
			return nil
		})
		flows("end of the cloud")
	}
	close(stop)
	load.Wait()
	s.eventually("every message", func() error {
		if kinds, _ := sub.came(); kinds < sent {
			return fmt.Errorf("%d of %d are missing", sent-kinds, sent)
		}
		return nil
	})
	_, copies := sub.came()
	t.Logf("%d kills, %d messages, none missing, %d copies", 3*rounds, sent, copies)
}

// counter is a subscriber that reconnects by itself, which mosquitto_sub does not.
type counter struct {
	connects atomic.Int64
	mu       sync.Mutex
	seen     map[string]int // by payload
	all      int
}

// count subscribes at QoS 0 in a persistent session.
func (c farBroker) count(t *testing.T, topic string) *counter {
	t.Helper()
	n := &counter{seen: map[string]int{}}
	d, err := mqtt.NewDispatcher(mqtt.ClientInfo{
		Address:       "ssl://127.0.0.1:" + c.port,
		ClientID:      "counter",
		CA:            c.certs + "/ca.pem",
		Cert:          c.certs + "/client.pem",
		Key:           c.certs + "/client.key",
		Interval:      200 * time.Millisecond,
		Subscriptions: []mqtt.TopicInfo{{Topic: topic}},
	})
	must(t, err)
	must(t, d.Start(mqtt.Funcs{
		Connect: func(bool) { n.connects.Add(1) },
		Message: func(m *mqtt.Delivery) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.seen[string(m.Payload)]++
			n.all++
		},
	}))
	t.Cleanup(func() { d.Close() })
	eventually(t, waitLimit, "the counter is subscribed", func() error {
		if n.connects.Load() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	return n
}

// came returns how many different messages have arrived, and how many copies of them.
func (n *counter) came() (kinds, copies int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen), n.all - len(n.seen)
}

// While the cloud is away, messages wait at the hub, even if the bridge is killed meanwhile.
func TestRemoteOutage(t *testing.T) {
	nativeFirst(t)
	c := newFarBroker(t)
	s := withCloud(t, c, func(text string) string {
		text = strings.Replace(text, "- topic: t1\n", "- topic: t1\n          qos: 1\n          prefix: edge/1\n", 1)
		return strings.Replace(text, "  - name: iothub\n", "  - name: iothub\n    interval: 1s\n", 1)
	}).start()
	s.logged("msg=connected", "side=hub")
	s.logged("msg=connected", "side=remote")
	s.subscribe("edge/1/t1", c.args("-i", "late", "-c", "-q", "1", "-E")...)
	c.Stop()
	for i := range 20 {
		s.publish("t1", strconv.Itoa(i), "-q", "1")
	}
	must(t, syscall.Kill(s.one("remote-iothub").pid, syscall.SIGKILL))
	c.Start()
	sub := s.subscribe("edge/1/t1", c.args("-i", "late", "-c", "-q", "1")...)
	s.eventually("all twenty", func() error {
		if got := len(sub.all("edge/1/t1")); got < 20 {
			return fmt.Errorf("%d came", got)
		}
		return nil
	})
}
