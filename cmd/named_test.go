package cmd_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A configuration that a person names has to be there; the one at its usual place need not, under whatever name. A
// master that updates itself passes -c on, also where there is no file.
func TestConfigurationThatIsNamed(t *testing.T) {
	t.Parallel()
	d := newDevice(t, "version: v1\nservices: []\n")
	require.NoError(t, os.Remove(d.path("etc/baetyl/conf.yml")))
	usual := []string{"etc/baetyl/conf.yml", d.path("etc/baetyl/conf.yml"), d.path("bin/../etc/baetyl/conf.yml")}
	for _, usual := range usual {
		out, code := d.run("check", "-c", usual)
		require.Zero(t, code, out)
		require.Contains(t, out, "config file (etc/baetyl/conf.yml) not found, to use default config")
	}
	require.NoError(t, os.Symlink("nothing", d.path("etc/baetyl/link.yml")))
	for _, named := range []string{"other.yml", d.path("other.yml"), "etc/baetyl/link.yml", "no/such/folder/conf.yml"} {
		for command, status := range map[string]int{"check": 1, "start": 78} {
			out, code := d.run(command, "-c", named)
			require.Equal(t, status, code, out)
			require.Contains(t, out, "which -c names, does not exist; correct the path, or leave -c out")
			require.NotContains(t, out, "to use default config")
		}
	}
	d.write(t, "etc/openedge/openedge.yml", "mode: native\n", 0o644)
	for command, status := range map[string]int{"check": 1, "start": 78} {
		out, code := d.run(command)
		require.Equal(t, status, code, out)
		require.Contains(t, out, "etc/openedge/openedge.yml is there, and etc/baetyl/conf.yml is not")
	}
	require.NoError(t, os.RemoveAll(d.path("etc/openedge")))
	require.NoDirExists(t, d.path("var/run"))

	require.NoError(t, os.Link(d.path("bin/baetyl"), d.path("bin/baetyl.new")))
	out, err := exec.Command(d.path("bin/baetyl.new"), "check", "-w", d.dir, "-c", d.path("other.yml")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "OK!")
}

// A named configuration that is gone when the master crashes ends nothing, and is no new configuration either.
func TestNamedConfigurationIsGone(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	require.NoError(t, os.Rename(d.path("etc/baetyl/conf.yml"), d.path("named.yml")))
	c, _ := d.startWith(t, []string{"-c", "named.yml"}, masterapi.EnvAPIAddress+"=unix://var/run/baetyl.sock")
	before := d.instances(t)
	master := otherMaster(t, c.Process.Pid, 0)
	require.NoError(t, os.Rename(d.path("named.yml"), d.path("gone.yml")))
	for _, command := range []string{"reload", "restart"} {
		out, code := d.run(command)
		require.Equal(t, 1, code, out)
		require.Contains(t, out, "which -c names, does not exist")
	}
	require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
	otherMaster(t, c.Process.Pid, master)
	d.inspect(t, "services are gone", func(in masterapi.Inspect) bool { return len(in.Services) == 2 })
	require.Equal(t, before, d.instances(t))
}
