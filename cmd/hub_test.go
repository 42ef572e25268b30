//go:build linux

package cmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

// hubDevice is a device with a hub, and stock clients of it.
type hubDevice struct {
	*device
	t      *testing.T
	port   int
	keeper int
}

func startHubDevice(t *testing.T) hubDevice {
	port := mqtttest.FreePort(t)
	h := hubDevice{device: newHubDevice(t, port, mqtttest.FreePort(t)), t: t, port: port}
	h.write(t, "var/db/baetyl/conf/service.yml", fmt.Sprintf(`
listen: ['tcp://127.0.0.1:%d']
metrics: {address: ''}
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
`, port), 0o644)
	c, _ := h.start(t)
	h.keeper = c.Process.Pid
	mqtttest.Until(t, "the hub answers", func() bool { _, status := h.run("hub", "counters"); return status == 0 })
	return h
}

// client is a command of mosquitto.
func (h hubDevice) client(name, id string, args ...string) *exec.Cmd {
	program := requires.Command(h.t, name, "apt-get install mosquitto-clients")
	login := []string{"-p", fmt.Sprint(h.port), "-u", "test", "-P", "hahaha", "-i", id}
	return exec.Command(program, append(login, args...)...)
}

// says runs a command of ours, which has to succeed, and returns its output.
func (h hubDevice) says(args ...string) string {
	h.t.Helper()
	out, status := h.run(args...)
	require.Zero(h.t, status, out)
	return out
}

// background runs a command until the test ends.
func (h hubDevice) background(c *exec.Cmd) *mqtttest.Output {
	h.t.Helper()
	out := &mqtttest.Output{}
	c.Stdout, c.Stderr = out, out
	require.NoError(h.t, c.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Wait() }()
	h.t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	return out
}

// An operator sees who is connected, what waits, what is published and by whom, who gets it, and acts on it.
func TestHubCommands(t *testing.T) {
	t.Parallel()
	h := startHubDevice(t)
	evil := "a\x1b[2J\"b"
	bad, err := mqtt.NewDispatcher(mqtt.ClientInfo{ // mosquitto's own clients refuse such an id
		Address: fmt.Sprintf("tcp://127.0.0.1:%d", h.port), Username: "test", Password: "hahaha", ClientID: evil,
		Subscriptions: []mqtt.TopicInfo{{Topic: "s/#", QOS: 1}},
	})
	require.NoError(t, err)
	require.NoError(t, bad.Start(mqtt.Funcs{Message: func(d *mqtt.Delivery) { d.Ack() }}))
	t.Cleanup(func() { _ = bad.Close() })
	mqtttest.Until(t, "the client is there", func() bool {
		return strings.Contains(h.says("hub", "subscriptions"), "s/#")
	})
	clients := h.says("hub", "clients", "--user", "te")
	require.Contains(t, clients, `a\x1b[2J"b`)
	require.NotContains(t, clients, "\x1b")
	var page hubapi.Page[hubapi.Client]
	require.NoError(t, json.Unmarshal([]byte(h.says("hub", "clients", "-o", "json", "--client", "a")), &page))
	require.Equal(t, evil, page.Items[0].Client)
	require.Contains(t, h.says("hub", "sessions"), "durable")

	// what is published is seen with who it was, harmless, and as it is
	shown := h.background(exec.Command(h.path("bin/baetyl"), "hub", "sub", "s/#"))
	raw, err := os.Create(h.path("raw"))
	require.NoError(t, err)
	defer raw.Close()
	c := exec.Command(h.path("bin/baetyl"), "hub", "sub", "s/bin", "--raw", "--count", "1")
	c.Stdout = raw
	require.NoError(t, c.Start())
	h.write(t, "payload", "\x00\x1b]0;x\x07\xff", 0o644)
	mqtttest.Until(t, "both see it", func() bool {
		h.says("hub", "pub", "s/bin", "-d", "@"+h.path("payload"), "--qos", "1")
		info, err := raw.Stat()
		return err == nil && info.Size() > 0 && strings.Contains(shown.String(), "s/bin qos=1")
	})
	require.NoError(t, c.Wait())
	got, err := os.ReadFile(h.path("raw"))
	require.NoError(t, err)
	require.Equal(t, "\x00\x1b]0;x\x07\xff", string(got))
	require.Contains(t, shown.String(), `\x00\x1b]0;x\a\xff`)
	require.NotContains(t, shown.String(), "\x1b")
	require.NoError(t, h.client("mosquitto_pub", "sensor", "-t", "s/1", "-m", "21.5", "-r").Run())
	mqtttest.Until(t, "it says who", func() bool {
		return strings.Contains(shown.String(), "retain from=test/sensor: 21.5")
	})
	require.Contains(t, h.says("hub", "retained", "--topic", "s/"), "s/1")
	require.Contains(t, h.says("hub", "sub", "s/1", "--retained", "-n", "1"), "retained from=test/: 21.5")

	// who gets it, who may
	explained := h.says("hub", "explain", "s/1", "--user", "test")
	require.Contains(t, explained, "principals[0].permissions[0].permit[0]")
	require.Contains(t, explained, `a\x1b[2J"b`)
	explained = h.says("hub", "explain", "s/1", "--user", "nobody", "--action", "publish")
	require.Contains(t, explained, "no principal has this name")
	require.Contains(t, h.says("hub", "explain", "none"), "No session has a filter that matches none.")

	// a client that comes back at once is kicked each time
	for range 2 {
		mqtttest.Until(t, "it is kicked", func() bool {
			out, status := h.run("hub", "kick", evil, "--reason", "t")
			return status == 0 && strings.Contains(out, "done")
		})
	}
	require.Contains(t, h.says("hub", "clear", "--filter", "s/#"), "1 retained messages removed")
	out, status := h.run("hub", "kick", "nobody", "nothing")
	require.Equal(t, 1, status)
	require.Contains(t, out, `client "nobody" is not connected`)
	require.Contains(t, out, `client "nothing" is not connected`)

	log, err := os.ReadFile(h.path("var/log/baetyl/services/hub.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), fmt.Sprintf(`for="uid %d, pid `, os.Geteuid()))
}

// Who floods is seen, also among many.
func TestHubTop(t *testing.T) {
	t.Parallel()
	h := startHubDevice(t)
	flood := h.client("mosquitto_pub", "flood", "-t", "f", "-l")
	in, err := flood.StdinPipe()
	require.NoError(t, err)
	h.background(flood)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := in.Write([]byte(strings.Repeat("x", 50) + "\n")); err != nil {
					return
				}
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	h.background(h.client("mosquitto_sub", "quiet", "-t", "none"))
	mqtttest.Until(t, "top names it first", func() bool {
		lines := strings.Split(h.says("hub", "top", "--interval", "300ms"), "\n")
		return len(lines) > 3 && strings.Contains(lines[2], "flood") && !strings.HasPrefix(lines[2], "0.0")
	})
	require.Contains(t, h.says("hub", "top", "--by", "user", "--interval", "300ms"), "test")
}

// A hub, or a master, that ends in the middle is a clear error and status 1, and so are wrong arguments 2.
func TestHubCommandsFail(t *testing.T) {
	t.Parallel()
	h := startHubDevice(t)
	for _, args := range []string{
		"hub", "hub nothing", "hub kick", "hub pub", "hub clear", "hub clear a --filter b", "hub top --by x", "hub top --lines 0",
		"hub explain t --action publish", "hub explain t --user u --action pub", "hub sub a --raw -o json", "hub clients --nope",
	} {
		out, status := h.run(strings.Fields(args)...)
		require.Equal(t, 2, status, "%s: %s", args, out)
	}
	for args, want := range map[string]string{
		"hub sub a#": "filter", "hub pub a/#": "a/#", "hub clients --service ghost": "ghost",
		"hub clients --service loop":  "service (loop) has no admin interface now",
		"hub pub a -d @/no/such/file": "no such file",
	} {
		out, status := h.run(strings.Fields(args)...)
		require.Equal(t, 1, status, "%s: %s", args, out)
		require.Contains(t, out, want)
	}
	h.write(t, "large", strings.Repeat("x", 10<<20), 0o644)
	out, status := h.run("hub", "pub", "a", "-d", "@"+h.path("large"))
	require.Equal(t, 2, status)
	require.Contains(t, out, "has more than 786432 bytes")

	api := h.device.client(t, "loop")
	for what, kill := range map[string]func(){
		"the hub":    func() { require.NoError(t, exec.Command("kill", "-9", fmt.Sprint(hubOf(api))).Run()) },
		"the master": func() { require.NoError(t, exec.Command("kill", "-9", fmt.Sprint(masterOf(h.keeper))).Run()) },
	} {
		mqtttest.Until(t, "the hub answers", func() bool { _, status := h.run("hub", "counters"); return status == 0 })
		c := exec.Command(h.path("bin/baetyl"), "hub", "sub", "#")
		shown := &mqtttest.Output{}
		c.Stdout, c.Stderr = shown, shown
		require.NoError(t, c.Start())
		mqtttest.Until(t, "it is there", func() bool {
			_, status := h.run("hub", "pub", "a", "-d", "x")
			return status == 0 && strings.Contains(shown.String(), "a qos=0")
		})
		kill()
		if what == "the master" { // the next one goes on
			mqtttest.Until(t, "it goes on", func() bool {
				_, status := h.run("hub", "pub", "after", "-d", "x")
				return status == 0 && strings.Contains(shown.String(), "after qos=0")
			})
			require.Contains(t, shown.String(), "baetyl: the connection was lost: messages may be left out here")
			require.NoError(t, c.Process.Signal(os.Interrupt))
		}
		done := make(chan error, 1)
		go func() { done <- c.Wait() }()
		select {
		case err := <-done:
			require.Error(t, err, what)
		case <-time.After(time.Minute):
			t.Fatalf("%s is gone, and the command goes on", what)
		}
		if what == "the hub" {
			require.Equal(t, 1, c.ProcessState.ExitCode())
			require.Contains(t, shown.String(), "baetyl: service (hub) has ended the stream")
		}
	}
}
