package remote_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/remote"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// The test binary is the bridge when this is set: a real process for a real SIGKILL.
const envBridge = "RUN_REMOTE_MQTT"

func TestMain(m *testing.M) {
	if os.Getenv(envBridge) != "" {
		baetyl.Run(remote.Main)
		return
	}
	os.Exit(m.Run())
}

// process is a module in a working directory of its own.
type process struct {
	t      *testing.T
	dir    string
	binary string
	cmd    *exec.Cmd
	ended  chan struct{}
}

func newProcess(t *testing.T, binary, config string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), binary: binary}
	require.NoError(t, os.MkdirAll(filepath.Join(p.dir, "etc/baetyl"), 0o755))
	require.NoError(t, os.WriteFile(p.file(), []byte(config), 0o600))
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(p.dir), p.said())
		}
	})
	return p
}

func (p *process) file() string { return filepath.Join(p.dir, "etc/baetyl/service.yml") }

// configure changes the configuration, for the next start.
func (p *process) configure(change func(text string) string) {
	p.t.Helper()
	text, err := os.ReadFile(p.file())
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(p.file(), []byte(change(string(text))), 0o600))
}

func (p *process) start() {
	p.t.Helper()
	out, err := os.OpenFile(filepath.Join(p.dir, "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer out.Close()
	p.cmd = exec.Command(p.binary)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, out, out
	// the race detector would sleep a second at each end
	p.cmd.Env = append(os.Environ(), envBridge+"=1", "GORACE=atexit_sleep_ms=0")
	require.NoError(p.t, p.cmd.Start())
	ended := make(chan struct{})
	p.ended = ended
	go func(c *exec.Cmd) { c.Wait(); close(ended) }(p.cmd)
}

func (p *process) end(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(sig)
	<-p.ended
}

func (p *process) said() string {
	data, _ := os.ReadFile(filepath.Join(p.dir, "console"))
	return string(data[max(0, len(data)-8000):])
}

// openHub lets the user test publish and subscribe to everything.
const openHub = `principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
logger: {level: warn}
`

// hubs builds baetyl-hub and returns one for each configuration (without `listen`) with their addresses, running.
func hubs(t *testing.T, configs ...string) (all []*process, addresses []string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "baetyl-hub")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/baetyl/baetyl/baetyl-hub").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, config := range configs {
		address := fmt.Sprintf("tcp://127.0.0.1:%d", mqtttest.FreePort(t))
		hub := newProcess(t, binary, "listen: ['"+address+"']\n"+config)
		hub.start()
		listening(t, address)
		all, addresses = append(all, hub), append(addresses, address)
	}
	return all, addresses
}

func listening(t *testing.T, address string) {
	t.Helper()
	mqtttest.Until(t, address+" listens", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// between is the bridge of two hubs: up and down cross it at QoS 1.
func between(t *testing.T, near, far string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return newProcess(t, self, fmt.Sprintf(`name: bridge
hub: {address: '%s', username: test, password: hahaha, interval: 200ms}
remotes: [{name: far, address: '%s', username: test, password: hahaha, interval: 200ms}]
rules:
  - hub: {subscriptions: [{topic: up, qos: 1}]}
    remote: {name: far, subscriptions: [{topic: down, qos: 1}]}
`, near, far))
}

// connected waits until the bridge has subscribed at both sides.
func connected(t *testing.T, b *process) {
	t.Helper()
	mqtttest.Until(
		t,
		"the bridge is connected on both sides",
		func() bool { return strings.Count(b.said(), "msg=connected") == 2 },
	)
}

func client(t *testing.T, address, id string, h mqtt.Handler, subs ...mqtt.TopicInfo) *mqtt.Dispatcher {
	t.Helper()
	d, err := mqtt.NewDispatcher(
		mqtt.ClientInfo{
			Address:       address,
			ClientID:      id,
			Username:      "test",
			Password:      "hahaha",
			Interval:      200 * time.Millisecond,
			MaxInflight:   100,
			BufferSize:    100,
			Subscriptions: subs,
		},
	)
	require.NoError(t, err)
	require.NoError(t, d.Start(h))
	t.Cleanup(func() { d.Close() })
	return d
}
