//go:build linux

package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// modulesUsed are those of the devices with functions.
var modulesUsed = []string{"baetyl-hub", "baetyl-function-manager", "baetyl-function-sql"}

// buildModules builds them into a folder.
var buildModules = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "modules")
	if err != nil {
		return "", err
	}
	for _, m := range modulesUsed {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, m), "../"+m)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w: %s", m, err, out)
		}
	}
	return dir, nil
})

// newFunctionDevice is a device with a hub, a function manager and SQL functions, whose names begin with prefix.
func newFunctionDevice(t *testing.T, mode string, port int) (d *device, prefix string) {
	t.Helper()
	programs, err := buildModules()
	require.NoError(t, err)
	d = newDevice(t, "")
	image := func(m string) string { return m }
	address := fmt.Sprintf("tcp://127.0.0.1:%d", port)
	binary := func(m string) string { return fmt.Sprintf("{name: %s, path: lib/baetyl/%s, readonly: true}, ", m, m) }
	if mode == masterapi.ModeDocker {
		if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
			requires.Missing(t, "a docker daemon", "export DOCKER_HOST=$(scripts/dockerd.sh start); "+string(out))
		}
		prefix = filepath.Base(d.dir) + "-"
		d.containers = prefix
		t.Cleanup(func() {
			for _, id := range d.processes() {
				_ = exec.Command("docker", "rm", "--force", id).Run()
			}
		})
		image = func(m string) string { return "baetyl-cmd-test/" + m }
		for _, m := range modulesUsed {
			script := fmt.Sprintf("tar -C %s -c %s | docker import --change 'ENTRYPOINT [\"/%s\"]' - %s",
				programs, m, m, image(m))
			out, err := exec.Command("sh", "-c", script).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		address = "tcp://" + prefix + "hub:1883"
		binary = func(string) string { return "" }
	} else {
		t.Cleanup(d.kill)
		for _, m := range modulesUsed {
			d.write(t, "var/db/baetyl/"+m+"/package.yml", "entry: "+m+"\n", 0o644)
			require.NoError(t, os.Link(filepath.Join(programs, m), d.path("var/db/baetyl/"+m+"/"+m)))
		}
	}
	conf := "mode: " + mode + "\nserver: {address: 'unix://var/run/baetyl.sock'}\ngrace: 3s\n"
	d.write(t, "etc/baetyl/conf.yml", conf, 0o644)
	listen := "0.0.0.0:1883"
	if mode == masterapi.ModeNative {
		listen = fmt.Sprintf("127.0.0.1:%d", port)
	}
	d.write(t, "var/db/baetyl/hub-conf/service.yml", fmt.Sprintf(`
listen: ['tcp://%s']
metrics: {address: ''}
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
`, listen), 0o644)
	d.write(t, "var/db/baetyl/fm-conf/service.yml", fmt.Sprintf(`
hub: {address: '%s', username: test, password: hahaha, cleansession: true}
rules:
- {subscribe: {topic: in}, function: {name: double}, publish: {topic: out}}
functions:
- {name: double, service: %ssql}
`, address, prefix), 0o644)
	d.write(t, "var/db/baetyl/sql-conf/service.yml", "functions: [{name: double, handler: 'select x*2 as x'}]\n", 0o644)
	application := "version: v1\nservices:\n"
	volumes := "volumes:\n"
	for _, s := range []struct{ name, module, conf, more string }{
		{"hub", modulesUsed[0], "hub-conf", "replica: 1"}, {"fm", modulesUsed[1], "fm-conf", "replica: 1"},
		{"sql", modulesUsed[2], "sql-conf", "replica: 0"},
	} {
		application += fmt.Sprintf("  - {name: %s%s, image: '%s', %s, mounts: [%s"+
			"{name: %s, path: etc/baetyl, readonly: true}, {name: %s-data, path: var/db/baetyl/data}]}\n",
			prefix, s.name, image(s.module), s.more, binary(s.module), s.conf, s.name)
		volumes += fmt.Sprintf("  - {name: %s, path: var/db/baetyl/%s}\n  - {name: %s-data, path: var/db/baetyl/%s-data}\n",
			s.conf, s.conf, s.name, s.name)
		if mode == masterapi.ModeNative {
			volumes += fmt.Sprintf("  - {name: %s, path: var/db/baetyl/%s}\n", s.module, s.module)
		}
	}
	d.write(t, "var/db/baetyl/application.yml", application+volumes, 0o644)
	return d, prefix
}

// Commands of hub and functions are the same in both modes, and find their modules by themselves.
func TestModulesInBothModes(t *testing.T) {
	for _, mode := range []string{masterapi.ModeNative, masterapi.ModeDocker} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d, prefix := newFunctionDevice(t, mode, mqtttest.FreePort(t))
			keeper, _ := d.start(t)
			says := func(args ...string) string {
				t.Helper()
				out, status := d.run(args...)
				require.Zero(t, status, out)
				return out
			}
			mqtttest.Until(t, "the rule is connected", func() bool {
				out, status := d.run("function", "rules")
				return status == 0 && strings.Contains(out, "yes")
			})
			require.Contains(t, says("hub", "clients"), "test")
			require.JSONEq(t, `{"x":42}`, says("function", "call", "double", "--data", `{"x":21}`))
			require.Contains(t, says("function", "list"), prefix+"sql")
			out, status := d.run("function", "call", "double", "-d", "\x1b[2J\xff")
			require.Equal(t, 1, status, out)
			require.Contains(t, out, "not a JSON object")
			require.NotContains(t, out, "\x1b")
			out, status = d.run("function", "call", "nothing")
			require.Equal(t, 1, status, out)
			require.Contains(t, out, `there is no function "nothing"; functions has double`)
			require.Contains(t, says("function", "list", "-o", "json"), `"last_error"`)

			shown := &mqtttest.Output{}
			c := exec.Command(d.path("bin/baetyl"), "hub", "sub", "out", "-n", "1")
			c.Stdout, c.Stderr = shown, shown
			require.NoError(t, c.Start())
			done := make(chan error, 1)
			go func() { done <- c.Wait() }()
			mqtttest.Until(t, "the rule's answer is seen", func() bool {
				says("hub", "pub", "in", "-d", `{"x":4}`)
				select {
				case err := <-done:
					require.NoError(t, err, shown.String())
					return true
				default:
					return false
				}
			})
			require.Contains(t, shown.String(), `: {"x":8}`)
			require.Contains(t, says("hub", "explain", "in"), "connected")

			// a module that is gone for a moment, and a next master, change nothing
			before := masterOf(keeper.Process.Pid)
			require.NoError(t, exec.Command("kill", "-9", fmt.Sprint(before)).Run())
			mqtttest.Until(t, "the next master connects", func() bool {
				out, status := d.run("function", "call", "double", "-d", `{"x":1}`)
				return status == 0 && strings.Contains(out, `{"x":2}`) && masterOf(keeper.Process.Pid) != before
			})
			out, status = d.run("hub", "clients", "--service", prefix+"sql")
			require.Equal(t, 1, status)
			require.Contains(t, out, "has no admin interface now")
		})
	}
}
