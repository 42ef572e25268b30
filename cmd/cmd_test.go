package cmd_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/cmd"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/conf"
)

// built is the folder of the real program, once a test has asked for it.
var built string

// build makes the real program once.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "baetyl-cmd")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "baetyl")
	const flags = "-X github.com/baetyl/baetyl/cmd.Version=9.9.9 -X github.com/baetyl/baetyl/cmd.Revision=git-abcdef"
	out, err := exec.Command("go", "build", "-o", path, "-ldflags", flags, "..").CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

// Tests wait most of the time, for processes and for times that an update has to stay up: many run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err) // the flag is the testing package's
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// device is a working directory with an installed master. Its path is short, since a socket lies in it.
type device struct {
	dir        string
	containers string // docker mode: what the names of its services begin with
}

// configure writes a conf.yml of native mode with further lines. It names no users: each installation chooses some.
func (d *device) configure(t *testing.T, lines string) {
	d.write(t, "etc/baetyl/conf.yml", "mode: native\nserver: {address: 'unix://var/run/baetyl.sock'}\n"+lines+"\n", 0o644)
}

func newDevice(t *testing.T, application string) *device {
	program, err := build()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "bc")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &device{dir: dir}
	d.configure(t, "grace: 3s")
	d.write(t, "var/db/baetyl/application.yml", application, 0o644)
	require.NoError(t, os.Mkdir(d.path("bin"), 0o755))
	require.NoError(t, os.Link(program, d.path("bin/baetyl")))
	return d
}

func (d *device) path(rel string) string { return filepath.Join(d.dir, rel) }

func (d *device) write(t *testing.T, rel, content string, mode os.FileMode) {
	require.NoError(t, os.MkdirAll(filepath.Dir(d.path(rel)), 0o755))
	require.NoError(t, os.WriteFile(d.path(rel), []byte(content), mode))
}

// run runs a command of the master and returns its output and status.
func (d *device) run(args ...string) (string, int) {
	c := exec.Command(d.path("bin/baetyl"), args...)
	out, err := c.CombinedOutput()
	var e *exec.ExitError
	if errors.As(err, &e) {
		return string(out), e.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}

// start runs the keeper, and with it the master, with additions to the environment.
func (d *device) start(t *testing.T, env ...string) (*exec.Cmd, *mqtttest.Output) {
	return d.startWith(t, nil, env...)
}

// startWith is start with arguments.
func (d *device) startWith(t *testing.T, args []string, env ...string) (*exec.Cmd, *mqtttest.Output) {
	out := &mqtttest.Output{}
	c := exec.Command(d.path("bin/baetyl"), append([]string{"start"}, args...)...)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = out, out
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("master of %s said\n%s", d.dir, out)
		}
	})
	return c, out
}

const application = `
version: v1
services:
  - name: loop
    image: pkg
    replica: 2
    api: [inspect, {start: [loop]}]
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: out, path: out}]
  - name: child
    image: pkg
    replica: 1
    args: [child]
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: out, path: out}]
volumes:
  - {name: pkg, path: var/db/baetyl/pkg}
  - {name: out, path: var/db/baetyl/out}
`

// script writes its token, and runs until it is ended; with the argument child, a child of it does too, and ignores
// SIGTERM when there is a file out/deaf.
const script = `#!/bin/sh
echo "$BAETYL_SERVICE_TOKEN" > "out/token-$BAETYL_SERVICE_INSTANCE_NAME"
if [ "$1" = child ]; then
  "$0" grandchild &
  wait
fi
[ "$1" = grandchild ] && [ -e out/deaf ] && trap '' TERM
while :; do sleep 0.05; done
`

func newBusyDevice(t *testing.T) *device {
	d := newDevice(t, application)
	d.write(t, "var/db/baetyl/pkg/package.yml", "entry: bin/run\n", 0o644)
	d.write(t, "var/db/baetyl/pkg/bin/run", script, 0o755)
	t.Cleanup(d.kill)
	return d
}

// kill ends what a failed test has left.
func (d *device) kill() {
	for _, pid := range d.processes() {
		_ = exec.Command("kill", "-9", pid).Run()
	}
}

func (d *device) client(t *testing.T, service string) *http.Client {
	service = d.containers + service
	var token []byte
	require.Eventually(t, func() bool { // the service writes it when it starts
		var err error
		token, err = os.ReadFile(d.path("var/db/baetyl/out/token-" + service))
		return err == nil && len(token) > 0
	}, time.Minute, 10*time.Millisecond, "service %s does not write its token", service)
	c, err := http.NewClient(http.ClientConfig{
		Address: "unix://" + d.path("var/run/baetyl.sock"), Username: service,
		Password: conf.Secret(strings.TrimSpace(string(token))),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestVersion(t *testing.T) {
	d := newDevice(t, "")
	out, code := d.run("version")
	require.Zero(t, code)
	const want = `^Version:      9\.9\.9\nGit revision: git-abcdef\nGo version:   go1\.\S+\nPlatform:     \w+/\w+\S*\n` +
		`Keeper:       1\n\n$`
	require.Regexp(t, want, out)
}

func TestCheck(t *testing.T) {
	d := newDevice(t, application)
	out, code := d.run("check")
	require.Zero(t, code)
	require.Contains(t, out, "OK!")

	d.write(t, "etc/baetyl/other.yml", "mod: native\n", 0o644)
	out, code = d.run("check", "-c", "etc/baetyl/other.yml")
	require.Equal(t, 1, code)
	require.Contains(t, out, `other.yml: mod: unknown key; did you mean "mode"?`)
	require.NotContains(t, out, "OK!")

	other := newDevice(t, "services: [{name: a, image: i, mounts: [{name: v, path: p}]}]\n")
	out, code = d.run("check", "-w", other.dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, `application.yml: services[0] (a).mounts[0].name: there is no volume "v"`)

	require.NoError(t, os.Remove(d.path("etc/baetyl/conf.yml")))
	out, code = d.run("check")
	require.Zero(t, code)
	require.Contains(t, out, "config file (etc/baetyl/conf.yml) not found, to use default config")
	require.NoDirExists(t, d.path("var/run"))
}

// In docker mode check warns of what docker refuses and of what a container could do without; it asks no daemon.
func TestCheckKnowsDocker(t *testing.T) {
	d := newDevice(t, "services: [{name: web, image: i, replica: 2, ports: ['80:80']}, {name: hub, image: baetyl-hub}]\n")
	d.write(t, "etc/baetyl/conf.yml", "mode: docker\n", 0o644)
	out, code := d.run("check")
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(out, "OK!"), out)
	require.Contains(t, out, "warning: services[0] (web).ports[0]: \"80:80\" is one port of the host for 2 instances")
	require.Contains(t, out, "warning: service web keeps docker's capabilities; cap_drop could name AUDIT_WRITE, CHOWN,")
	require.NotContains(t, out, "service hub")
	d.write(t, "etc/baetyl/conf.yml", "mode: docker\ndocker: {hardened: true}\n", 0o644)
	out, _ = d.run("check")
	require.NotContains(t, out, "capabilities")
}

// A master whose docker daemon does not answer stays up, logs that once, and stops at SIGTERM.
func TestDockerDaemonAway(t *testing.T) {
	t.Parallel()
	d := newDevice(t, "services: [{name: a, image: i, replica: 1}, {name: b, image: i, replica: 1}]\n")
	d.write(t, "etc/baetyl/conf.yml",
		"mode: docker\nserver: {address: 'unix://var/run/baetyl.sock'}\nlogger: {path: master.log}\n", 0o644)
	c, out := d.start(t, "DOCKER_HOST=unix://"+d.path("no.sock"))
	logged := func(text string) int {
		data, _ := os.ReadFile(d.path("master.log")) // empty until it is there
		return strings.Count(string(data), text)
	}
	require.Eventually(t, func() bool { return logged("start: docker daemon does not answer") == 2 },
		time.Minute, 10*time.Millisecond, "both services show why they do not start")
	require.Equal(t, 1, logged("services start when the docker daemon answers"))
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), out.String())
	require.NoFileExists(t, d.path("var/run/baetyl.sock"))
}

func execute(args ...string) (stdout, stderr string, status int) {
	var out, errs bytes.Buffer
	status = cmd.Execute(args, nil, &out, &errs)
	return out.String(), errs.String(), status
}

// What is wrong with the arguments is status 2, and help is near; what goes wrong later is 1.
func TestUsage(t *testing.T) {
	out, _, status := execute("--help")
	require.Zero(t, status)
	require.Contains(t, out, "start")
	for _, c := range []struct {
		args []string
		text string
	}{
		{[]string{"begin"}, `there is no command "baetyl begin"`},
		{[]string{"strat"}, `did you mean start`},
		{[]string{"check", "--no"}, "unknown flag: --no"},
		{[]string{"check", "more"}, `baetyl check takes no argument: "more"`},
		{[]string{"hub", "clients", "cam-"}, `baetyl hub clients takes no argument: "cam-"; only some: --client cam-`},
		{[]string{"start", "-c"}, "flag needs an argument"},
		{[]string{"\x1b[31mred"}, `\x1b[31mred`},
	} {
		_, errs, status := execute(c.args...)
		require.Equal(t, 2, status, c.args)
		require.Contains(t, errs, c.text)
		require.Contains(t, errs, "--help")
		require.NotContains(t, errs, "\x1b")
	}
	_, errs, status := execute("check", "-w", "/no/such/folder")
	require.Equal(t, 1, status)
	require.Contains(t, errs, "find working directory")
}
