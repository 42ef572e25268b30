package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func TestMain(m *testing.M) {
	if os.Getenv("RUN_AGENT") != "" {
		baetyl.Run(Main)
		return
	}
	os.Exit(m.Run())
}

// serial is larger than 64 bits, as those of real authorities are.
const serial = "340282366920938463463374607431768211456"

// rig is an agent, a process of its own, with a broker and a cloud over TLS and a master.
type rig struct {
	t      *testing.T
	dir    string // working directory of the agent
	broker *mqtttest.Broker
	cloud  *agenttest.Cloud
	server *agenttest.Server
	master *agenttest.Master
	api    string
	mqtt   *mqtt.Dispatcher // of the cloud
	agent  *exec.Cmd
	output mqtttest.Output
}

func newRig(t *testing.T) *rig {
	ca := agenttest.NewAuthority(t)
	n, _ := new(big.Int).SetString(serial, 10)
	device, server := ca.Issue("dev1", n), ca.Issue("cloud", big.NewInt(2))
	port := mqtttest.FreePort(t)
	r := &rig{t: t, dir: t.TempDir()}
	r.broker = mqtttest.Mosquitto(
		t,
		fmt.Sprintf("listener %d 127.0.0.1", port),
		"cafile "+ca.CA,
		"certfile "+server.Cert,
		"keyfile "+server.Key,
		"require_certificate true",
	)
	r.cloud = agenttest.NewCloud(t, server, device.Public)
	r.server = agenttest.NewServer(t, false)
	data := filepath.Join(r.dir, dataDir)
	require.NoError(t, os.MkdirAll(data, 0o755))
	r.master = agenttest.NewMaster(data)
	r.api = r.master.Serve(t)
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "etc/baetyl"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "etc/baetyl/service.yml"), []byte(fmt.Sprintf(`
remote:
  mqtt: {address: "ssl://127.0.0.1:%d", clientid: dev1, username: dev1, ca: %s, cert: %s, key: %s, interval: 1s}
  http: {address: %q, ca: %s}
  report: {interval: 200ms}
logger: {level: debug}
`, port, ca.CA, device.Cert, device.Key, r.cloud.URL, ca.CA)), 0o600))
	var err error
	r.mqtt, err = mqtt.NewDispatcher(mqtt.ClientInfo{Address: r.broker.Address, ClientID: "cloud"})
	require.NoError(t, err)
	require.NoError(t, r.mqtt.Start(nil))
	t.Cleanup(func() {
		r.kill()
		r.mqtt.Close()
		text := r.output.String()
		if t.Failed() {
			t.Log(text)
		}
		require.NotContains(t, text, "secret", "no URL is logged: it may hold a secret")
		require.NotContains(t, text, "PRIVATE KEY")
	})
	r.start()
	// The broker keeps events for a device that it knows.
	mqtttest.Until(t, "the agent is there", func() bool { return strings.Contains(r.output.String(), "msg=connected") })
	return r
}

func (r *rig) start() {
	self, err := os.Executable()
	require.NoError(r.t, err)
	r.agent = exec.Command(self)
	r.agent.Dir, r.agent.Stderr = r.dir, &r.output
	r.agent.Env = append(
		os.Environ(),
		"RUN_AGENT=1",
		masterapi.EnvAPIAddress+"="+r.api,
		masterapi.EnvServiceName+"=agent",
		masterapi.EnvInstanceName+"=agent",
	)
	require.NoError(r.t, r.agent.Start())
}

// kill ends the agent as a power failure does.
func (r *rig) kill() {
	r.agent.Process.Kill()
	r.agent.Wait()
}

// stop ends the agent as the master does, and returns its exit error.
func (r *rig) stop() error {
	require.NoError(r.t, r.agent.Process.Signal(syscall.SIGTERM))
	timer := time.AfterFunc(time.Minute, func() { r.agent.Process.Kill() })
	defer timer.Stop()
	return r.agent.Wait()
}

func (r *rig) send(payload []byte) {
	m := mqtt.Message{Topic: cloud.Topic(cloud.DesireTopic, "dev1"), Payload: payload, QOS: 1}
	require.NoError(r.t, r.mqtt.PublishWait(r.t.Context(), m))
}

func (r *rig) push(o cloud.OTA) {
	payload, err := json.Marshal(cloud.Event{Time: time.Now(), OTA: o})
	require.NoError(r.t, err)
	r.send(payload)
}

// app puts an application on the server.
func (r *rig) app(trace, version string) cloud.OTA {
	text := fmt.Sprintf(
		"version: %s\nservices: [{name: a, image: a}]\nvolumes: [{name: agent, path: var/db/baetyl}]\n",
		version,
	)
	padding := agenttest.Entry{Name: "padding", Data: string(bytes.Repeat([]byte(version), 5000))}
	data := agenttest.Zip(r.t, agenttest.Entry{Name: "application.yml", Data: text}, padding)
	return cloud.OTA{
		Type:    masterapi.UpdateApp,
		Trace:   trace,
		Version: version,
		Volume:  r.server.Put("app", "var/db/baetyl/app/"+version, data),
	}
}

// reported waits until the cloud knows of these steps.
func (r *rig) reported(trace, steps string) {
	r.t.Helper()
	mqtttest.Until(r.t, "the cloud knows of"+steps, func() bool { got, _ := r.cloud.Steps(trace); return got == steps })
	_, contradiction := r.cloud.Steps(trace)
	require.NoError(r.t, contradiction)
}
