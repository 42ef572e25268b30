package cmd_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A master alone does not change the mode, also when it crashes while the configuration was edited or is missing: what
// runs goes on. The next full start has the new mode.
func TestModeChanges(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	before := d.await(t, copies)
	conf, err := os.ReadFile(d.path("etc/baetyl/conf.yml"))
	require.NoError(t, err)
	changed := strings.Replace(string(conf), "mode: native", "mode: docker", 1)
	d.write(t, "etc/baetyl/conf.yml", changed, 0o644)
	out, code := d.run("restart")
	require.Equal(t, 1, code)
	require.Contains(t, out, "mode has changed from native to docker")
	require.Equal(t, before, d.processes())

	master := otherMaster(t, c.Process.Pid, 0)
	for _, missing := range []bool{false, true} {
		if missing { // the defaults have mode docker
			require.NoError(t, os.Remove(d.path("etc/baetyl/conf.yml")))
		}
		require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
		master = otherMaster(t, c.Process.Pid, master)
		d.inspect(t, "the master does not answer", func(in masterapi.Inspect) bool { return in.Software.Mode == "native" })
		require.Equal(t, before, d.processes())
	}
	d.write(t, "etc/baetyl/conf.yml", changed, 0o644)
	out, code = d.run("restart")
	require.Equal(t, 1, code)
	require.Contains(t, out, "mode has changed from native to docker")
	d.kill()
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
	require.NoFileExists(t, d.path("var/run/baetyl/instances.json"))

	c, _ = d.start(t)
	d.inspect(t, "the master does not answer", func(in masterapi.Inspect) bool { return in.Software.Mode == "docker" })
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
}

// docker.pull.* and update.* are those of the file after a reload, without a restart.
func TestReloadTakesEffect(t *testing.T) {
	t.Parallel()
	t.Run("update", func(t *testing.T) {
		t.Parallel()
		d := newUpdatedDevice(t)
		d.configure(t, "grace: 3s\nupdate: {healthy: 1h, deadline: 2h}")
		s := d.supervise(t)
		d.await(t, 3)
		d.configure(t, "grace: 3s\nupdate: {healthy: 100ms, deadline: 1m}")
		out, code := d.run("reload")
		require.Zero(t, code, out)
		require.Equal(t, "in effect: update.deadline, update.healthy\n", out)
		require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t1"}))
		require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
	})
	t.Run("docker.pull", func(t *testing.T) {
		t.Parallel()
		d := newUpdatedDevice(t).inContainers(t)
		conf, err := os.ReadFile(d.path("etc/baetyl/conf.yml"))
		require.NoError(t, err)
		text, err := os.ReadFile(d.path("var/db/baetyl/app/next/application.yml"))
		require.NoError(t, err)
		missing := strings.ReplaceAll(string(text), workerImage, "baetyl-is-not-here:latest")
		d.write(t, "var/db/baetyl/app/next/application.yml", missing, 0o644)
		s := d.supervise(t)
		d.await(t, 3)
		d.write(t, "etc/baetyl/conf.yml", string(conf)+"docker: {pull: {policy: never}}\n", 0o644)
		out, code := d.run("reload")
		require.Zero(t, code, out)
		require.Equal(t, "in effect: docker.pull.policy\n", out)
		require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t1"}))
		final := d.awaitFinal(t, "t1")
		require.Equal(t, masterapi.StepRolledBack, final.Step)
		require.Contains(t, final.Error, "docker.pull.policy is never")
	})
}
