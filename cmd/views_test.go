package cmd_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// newTalkingDevice has a service that runs and talks, one that ends at once, and one that others start.
func newTalkingDevice(t *testing.T) *device {
	d := newDevice(t, `
version: v7
services:
  - name: talks
    image: pkg
    replica: 1
    args: [talk]
    env: {DB_PASSWORD: hunter22}
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]
  - name: breaks
    image: pkg
    replica: 1
    args: [break]
    restart: {policy: "no"}
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]
  - name: waits
    image: pkg
    args: [talk]
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]
volumes: [{name: pkg, path: var/db/baetyl/pkg}]
`)
	d.write(t, "var/db/baetyl/pkg/package.yml", "entry: bin/run\n", 0o644)
	d.write(t, "var/db/baetyl/pkg/bin/run", `#!/bin/sh
[ "$1" = break ] && { printf '\033[31mred \033[0m\007bell\n' >&2; echo "cannot open /dev/x" >&2; exit 3; }
n=0
while true; do n=$((n+1)); echo "line $n"; sleep 0.05; done
`, 0o755)
	t.Cleanup(d.kill)
	return d
}

// running waits until the services are as they will stay.
func (d *device) settles(t *testing.T) {
	require.Eventually(t, func() bool {
		out, code := d.run("ps", "-o", "json")
		return code == 0 && strings.Contains(out, `"state": "failed"`) && strings.Contains(out, `"state": "running"`)
	}, time.Minute, 50*time.Millisecond)
}

// What an operator sees, in every form, and what no terminal acts on.
func TestViews(t *testing.T) {
	t.Parallel()
	d := newTalkingDevice(t)
	out, code := d.run()
	require.Zero(t, code)
	require.Contains(t, out, "does not run in "+d.dir)
	require.Contains(t, out, "systemctl start baetyl")
	out, code = d.run("status")
	require.Equal(t, 1, code, out)
	d.start(t)
	d.settles(t)

	out, _ = d.run("ps")
	require.Regexp(t, `(?m)^SERVICE +INSTANCE +STATUS +HEALTH +SINCE +RESTARTS +WHY$`, out)
	require.Regexp(t, `(?m)^breaks +breaks +failed +- +\d+[sm] +0 +.*exit status 3.*: cannot open /dev/x$`, out)
	require.Regexp(t, `(?m)^talks +talks +running +- +\d+[sm] +0$`, out)
	require.Regexp(t, `(?m)^waits +- +idle +- +- +-$`, out)
	out, code = d.run("ps", "nothing")
	require.Equal(t, 1, code)
	require.Contains(t, out, "there is no service nothing; there are breaks, talks, waits")
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal, "yaml": func(b []byte, v any) error { return yaml.Unmarshal(b, v) },
	} {
		out, code := d.run("ps", "-o", format, "talks")
		require.Zero(t, code)
		var body map[string]any
		require.NoError(t, decode([]byte(out), &body), out)
		require.Len(t, body["services"], 1)
	}

	out, code = d.run("status")
	require.Equal(t, 1, code, "a service has failed")
	require.Regexp(t, `application +v7`, out)
	require.Regexp(t, `breaks +failed: .*cannot open /dev/x`, out)
	out, code = d.run()
	require.Zero(t, code)
	require.Contains(t, out, "baetyl logs --tail 50 breaks")

	out, code = d.run("inspect", "talks")
	require.Zero(t, code)
	require.Contains(t, out, `DB_PASSWORD: "***"`)
	require.NotContains(t, out, "hunter22")
	out, code = d.run("inspect", "-o", "json")
	require.Zero(t, code)
	require.Contains(t, out, `"conf_version": "v7"`)
	out, code = d.run("top")
	require.Zero(t, code)
	require.Regexp(t, `(?m)^talks +talks +[\d.]+% +`, out)

	out, code = d.run("logs", "breaks")
	require.Zero(t, code)
	require.Contains(t, out, `\x1b[31mred \x1b[0m\abell`)
	require.NotContains(t, out, "\x1b")
	out, _ = d.run("logs", "-o", "json", "breaks")
	require.NotContains(t, out, "\x1b")
	var line masterapi.LogLine
	require.NoError(t, json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &line))
	require.Equal(t, "\x1b[31mred \x1b[0m\abell", line.Text)
	require.Equal(t, "stderr", line.Stream)
	out, _ = d.run("logs", "--tail", "1", "breaks", "talks")
	require.Contains(t, out, "breaks | cannot open /dev/x\n")
	require.Contains(t, out, "talks | line ")
	out, code = d.run("logs", "--since", "1h", "--until", "30m", "talks")
	require.Zero(t, code)
	require.Empty(t, out)
	out, code = d.run("logs", "--since", "soon", "talks")
	require.Equal(t, 2, code)
	require.Contains(t, out, `--since: "soon" is no time; write how long ago`)
	out, code = d.run("logs", "ghost")
	require.Equal(t, 1, code)
	require.Contains(t, out, "service (ghost) not found, and there is no log of it")
	out, code = d.run("logs", "master")
	require.Equal(t, 1, code)
	require.Contains(t, out, "logger.path in conf.yml")

	out, code = d.run("events")
	require.Zero(t, code)
	require.Regexp(t, `(?m)breaks: instance failed and is not started again \(.*cannot open /dev/x\)$`, out)
	require.Contains(t, out, "master started")
	out, code = d.run("__complete", "logs", "")
	require.Zero(t, code)
	require.Contains(t, out, "breaks\ntalks\nwaits\n")
}

// Who follows a log does so over a kill -9 and a restart of the master, without a gap and without a line twice.
func TestFollowOverMasters(t *testing.T) {
	t.Parallel()
	d := newTalkingDevice(t)
	keeper, _ := d.start(t)
	d.settles(t)
	c := exec.Command(d.path("bin/baetyl"), "logs", "-f", "talks")
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	in := bufio.NewScanner(pipe)
	next := 0
	read := func(n int) {
		for range n {
			require.True(t, in.Scan(), "%v", in.Err())
			next++
			require.Equal(t, fmt.Sprint("line ", next), in.Text())
		}
	}
	read(30)
	require.NoError(t, syscall.Kill(otherMaster(t, keeper.Process.Pid, 0), syscall.SIGKILL))
	read(60)
	out, code := d.run("restart")
	require.Zero(t, code, out)
	read(60)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	_ = c.Wait() // by the signal
	out, _ = d.run("events")
	require.Contains(t, out, "master started")
}
