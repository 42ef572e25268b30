//go:build linux

package soak_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// modules are those that the site runs. The function is in SQL, since that needs no runtime from elsewhere.
var modules = []string{"baetyl-hub", "baetyl-function-manager", "baetyl-function-sql"}

// Folders of the site.
const (
	conf    = "var/db/baetyl/soak"
	hubData = conf + "/hub-data"
)

// site is an installation of baetyl with an application for the soak.
type site struct {
	dir, address, metrics string
}

// install installs and starts a site, which ends with the test.
func install(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak") // short, since sockets lie in it
	require.NoError(t, err)
	s := &site{
		dir:     dir,
		address: fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t)),
		metrics: fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t)),
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("sh", "-c", "tail -n 20 "+dir+"/var/log/baetyl/*.log "+dir+"/var/log/baetyl/services/*.log").
				CombinedOutput()
			t.Logf("the end of the logs:\n%s", out)
		}
		_ = os.RemoveAll(dir)
	})
	targets := []string{"make", "--no-print-directory", "baetyl", ".build/installer"}
	for _, m := range modules {
		targets = append(targets, m+"/package.zip")
	}
	tree := append([]string{"scripts/install-tree.sh", dir, "example/native"}, modules...)
	for _, args := range [][]string{targets, tree} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	s.configure(t)
	s.start(t)
	return s
}

func (s *site) configure(t *testing.T) {
	t.Helper()
	for path, text := range map[string]string{
		"etc/baetyl/conf.yml": `mode: native
server: {address: 'unix://var/run/baetyl.sock'}
logger: {path: var/log/baetyl/baetyl.log}
`,
		"var/db/baetyl/application.yml": `version: soak
services:
- name: hub
  image: baetyl-hub
  replica: 1
  mounts:
  - {name: hub-bin, path: lib/baetyl/baetyl-hub, readonly: true}
  - {name: hub-conf, path: etc/baetyl}
  - {name: hub-data, path: var/db/baetyl/data}
- name: manager
  image: baetyl-function-manager
  replica: 1
  mounts:
  - {name: manager-bin, path: lib/baetyl/baetyl-function-manager, readonly: true}
  - {name: manager-conf, path: etc/baetyl}
- name: sql
  image: baetyl-function-sql
  replica: 0
  mounts:
  - {name: sql-bin, path: lib/baetyl/baetyl-function-sql, readonly: true}
  - {name: sql-conf, path: etc/baetyl}
volumes:
- {name: hub-bin, path: var/db/baetyl/baetyl-hub}
- {name: hub-conf, path: var/db/baetyl/soak/hub}
- {name: hub-data, path: var/db/baetyl/soak/hub-data}
- {name: manager-bin, path: var/db/baetyl/baetyl-function-manager}
- {name: manager-conf, path: var/db/baetyl/soak/manager}
- {name: sql-bin, path: var/db/baetyl/baetyl-function-sql}
- {name: sql-conf, path: var/db/baetyl/soak/sql}
`,
		// A session that comes at the end has more waiting than session.queue.max allows by default.
		conf + "/hub/service.yml": fmt.Sprintf(`listen: ['tcp://%s']
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
metrics: {address: '%s'}
session: {queue: {max: 100000000}}
subscriptions:
- {source: {topic: soak/route/in, qos: 1}, target: {topic: soak/route/out, qos: 1}}
`, s.address, s.metrics),
		conf + "/manager/service.yml": fmt.Sprintf(`hub: {address: 'tcp://%s', username: test, password: hahaha}
metrics: {address: ''}
rules:
- clientid: soak-function
  subscribe: {topic: soak/function/in, qos: 1}
  function: {name: soak}
  publish: {topic: soak/function/out, qos: 1}
functions:
- {name: soak, service: sql, instance: {min: 1, max: 1}}
`, s.address),
		conf + "/sql/service.yml": "functions:\n- {name: soak, handler: 'select id where id >= 0'}\n",
	} {
		path = filepath.Join(s.dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, hubData), 0o755))
}

func (s *site) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.dir, "bin/baetyl"), "start")
	cmd.Dir = s.dir
	// The keeper must not outlive a test that is killed; it ends with the thread that started it.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		defer runtime.UnlockOSThread()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("baetyl start: %v", err)
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "the hub does not listen on %s", s.address)
}

// untilFunction waits until the function answers.
func (s *site) untilFunction(l *load) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	return l.probe(ctx)
}
