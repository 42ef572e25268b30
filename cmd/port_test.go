//go:build linux

package cmd_test

import (
	"context"
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

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// withHub is an application with the hub, and a thief of its port; %[1]s is the version, %[2]s the hub.
const withHub = `
version: %[1]s
services:
%[2]s
  - name: loop
    image: pkg
    replica: 1
    api: [inspect, update]
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: out, path: out}]
  - name: thief
    image: thief
    replica: 1
    mounts: [{name: thief, path: lib/baetyl/thief, readonly: true}, {name: loot, path: loot}]
volumes:
  - {name: pkg, path: var/db/baetyl/pkg}
  - {name: out, path: var/db/baetyl/out}
  - {name: thief, path: var/db/baetyl/thief}
  - {name: loot, path: var/db/baetyl/loot}
  - {name: hub, path: var/db/baetyl/hub}
  - {name: conf, path: var/db/baetyl/conf}
  - {name: other, path: var/db/baetyl/other}
  - {name: data, path: var/db/baetyl/data}
`

// theHub is the hub of withHub; %[1]s is the volume of its configuration, %[2]s anything.
const theHub = `
  - name: hub
    image: hub
    replica: 1
    env: {ANY: '%[2]s'}
    restart: {policy: always, backoff: {min: 1s, max: 1s, factor: 1}}
    mounts:
      - {name: hub, path: lib/baetyl/hub, readonly: true}
      - {name: %[1]s, path: etc/baetyl, readonly: true}
      - {name: data, path: var/db/baetyl/data}
`

const hubConf = `
listen: ['tcp://127.0.0.1:%d']
metrics: {address: ''}
principals: [{username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}]}]
`

// thiefScript tries to get the port @ as long as there is no loot/stop, and writes what it has got.
const thiefScript = `#!/bin/sh
exec python3 -c '
import os, socket
while not os.path.exists("loot/go"): pass
tries = 0
while not os.path.exists("loot/stop"):
    for host in "127.0.0.1", "0.0.0.0":
        for options in ([], [socket.SO_REUSEADDR], [socket.SO_REUSEPORT], [socket.SO_REUSEADDR, socket.SO_REUSEPORT]):
            s = socket.socket()
            try:
                for o in options: s.setsockopt(socket.SOL_SOCKET, o, 1)
                s.bind((host, @))
                s.listen(1)
                open("loot/got", "a").write("%s %s\n" % (host, options))
            except OSError: pass
            s.close()
    tries += 1
    if tries % 100 == 0: open("loot/tries", "w").write(str(tries))
open("loot/stopped", "w").write(str(tries))
while True: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close() or __import__("time").sleep(1)
'
`

// newHubDevice is a device with the real hub at port, and at other with the volume other.
func newHubDevice(t *testing.T, port, other int) *device {
	t.Helper()
	d := newDevice(t, fmt.Sprintf(withHub, "v1", fmt.Sprintf(theHub, "conf", "1")))
	t.Cleanup(d.kill)
	d.configure(t, "grace: 3s\nupdate: {healthy: 300ms, deadline: 1m}")
	for name, script := range map[string]string{
		"pkg": script, "thief": strings.ReplaceAll(thiefScript, "@", fmt.Sprint(port)),
	} {
		d.write(t, "var/db/baetyl/"+name+"/package.yml", "entry: bin/run\n", 0o644)
		d.write(t, "var/db/baetyl/"+name+"/bin/run", script, 0o755)
	}
	d.write(t, "var/db/baetyl/hub/package.yml", "entry: baetyl-hub\n", 0o644)
	out, err := exec.Command("go", "build", "-o", d.path("var/db/baetyl/hub/baetyl-hub"), "../baetyl-hub").CombinedOutput()
	require.NoError(t, err, string(out))
	d.write(t, "var/db/baetyl/conf/service.yml", fmt.Sprintf(hubConf, port), 0o644)
	d.write(t, "var/db/baetyl/other/service.yml", fmt.Sprintf(hubConf, other), 0o644)
	for version, hub := range map[string]string{
		"v2": fmt.Sprintf(theHub, "conf", "2"), "v3": fmt.Sprintf(theHub, "other", "2"), "v4": "",
	} {
		d.write(t, "var/db/baetyl/app/"+version+"/application.yml", fmt.Sprintf(withHub, version, hub), 0o644)
	}
	require.NoError(t, os.Mkdir(d.path("var/db/baetyl/loot"), 0o755))
	return d
}

// hubOf is the process id of the hub, 0 when it does not run.
func hubOf(c *http.Client) int {
	var i masterapi.Inspect
	if c.Get(context.Background(), masterapi.PathInspect, &i) != nil {
		return 0
	}
	for _, s := range i.Services {
		for _, v := range s.Instances {
			if s.Name == "hub" && v.Process != nil {
				return v.Process.ID
			}
		}
	}
	return 0
}

// connect sends CONNECT with user and password, as a client that the hub's end has disconnected.
func connect(port int) (net.Conn, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	packet := "\x10\x1c\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02id\x00\x04test\x00\x06hahaha"
	_, err = conn.Write([]byte(packet[:1] + string(rune(len(packet)-2)) + packet[2:]))
	return conn, err
}

func accepted(conn net.Conn) error {
	defer conn.Close()
	answer := make([]byte, 4)
	if err := conn.SetReadDeadline(time.Now().Add(40 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Read(answer); err != nil {
		return err
	}
	if string(answer) != "\x20\x02\x00\x00" {
		return fmt.Errorf("answer %x", answer)
	}
	return nil
}

// isFree tells whether a program could listen there.
func isFree(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		_ = ln.Close()
	}
	return err == nil
}

// The port of the hub is never free, however often hub and master are killed, and when an update starts the hub anew;
// who connects between two lives gets an answer of the next one. It is free when the application has no hub there.
func TestPortOfTheHub(t *testing.T) {
	t.Parallel()
	port, other := mqtttest.FreePort(t), mqtttest.FreePort(t)
	d := newHubDevice(t, port, other)
	c, _ := d.start(t)
	api := d.client(t, "loop")
	mqtttest.Until(t, "the hub answers", func() bool {
		conn, err := connect(port)
		return err == nil && accepted(conn) == nil
	})
	loot := func(name string) string { return d.path(filepath.Join("var/db/baetyl/loot", name)) }
	require.NoError(t, os.WriteFile(loot("go"), nil, 0o644))
	mqtttest.Until(t, "the thief tries", func() bool { _, err := os.Stat(loot("tries")); return err == nil })

	hub, master := 0, 0
	for round := range 8 {
		before := hub
		mqtttest.Until(t, "the hub runs", func() bool { hub = hubOf(api); return hub != 0 && hub != before })
		if round%3 == 2 {
			master = otherMaster(t, c.Process.Pid, master)
			require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
		}
		require.NoError(t, syscall.Kill(hub, syscall.SIGKILL))
		conn, err := connect(port)
		if err != nil { // its end was on the way
			conn, err = connect(port)
		}
		require.NoError(t, err)
		mqtttest.Until(t, "a client gets CONNACK", func() bool {
			if err = accepted(conn); err != nil { // accepted by the hub that was killed
				conn, err = connect(port)
				require.NoError(t, err)
				return false
			}
			return true
		})
		require.NoFileExists(t, loot("got"))
	}
	update := func(version string) {
		t.Helper()
		mqtttest.Until(t, "the hub runs", func() bool { return hubOf(api) != 0 })
		r := masterapi.UpdateRequest{Path: "var/db/baetyl/app/" + version, Trace: version}
		mqtttest.Until(t, "the update begins", func() bool { // after the one before
			err := api.Put(context.Background(), masterapi.PathUpdate, r, nil)
			if !isStatus(err, 409) {
				require.NoError(t, err)
			}
			return err == nil
		})
		mqtttest.Until(t, "the application is updated", func() bool {
			var i masterapi.Inspect
			return api.Get(context.Background(), masterapi.PathInspect, &i) == nil && i.Software.ConfVersion == version
		})
	}
	update("v2")
	require.NoFileExists(t, loot("got"))
	require.NoError(t, os.WriteFile(loot("stop"), nil, 0o644))
	mqtttest.Until(t, "the thief has stopped", func() bool { _, err := os.Stat(loot("stopped")); return err == nil })
	require.NoFileExists(t, loot("got"))

	update("v3")
	mqtttest.Until(t, "the port before is free", func() bool { return isFree(port) })
	require.False(t, isFree(other))
	conn, err := connect(other)
	require.NoError(t, err)
	require.NoError(t, accepted(conn))
	update("v4")
	mqtttest.Until(t, "the port of no hub is free", func() bool { return isFree(other) })
}
