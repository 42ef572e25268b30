package cmd_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// At a first start a wrong configuration ends the program with a status of its own, so that nobody starts it again and
// again.
func TestFirstStartWithAWrongConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conf string
		args []string
		say  string
	}{
		"no YAML":        {"mode: [", nil, "etc/baetyl/conf.yml"},
		"a key":          {"mod: native", nil, "mod"},
		"a value":        {"grace: soon", nil, "grace"},
		"no such file":   {"mode: native", []string{"-c", "etc/baetyl/other.yml"}, "etc/baetyl/other.yml"},
		"another folder": {"mode: native", []string{"-c", "etc"}, "etc"},
	} {
		d := newDevice(t, "")
		d.write(t, "etc/baetyl/conf.yml", c.conf, 0o644)
		out, status := d.run(append([]string{"start"}, c.args...)...)
		require.Equal(t, 78, status, "%s: %s", name, out)
		require.Contains(t, out, c.say, name)
		if c.args == nil {
			_, status = d.run("check")
			require.Equal(t, 1, status, "%s: check is asked about that", name)
		}
	}
}

// Later a wrong configuration takes nothing away: services run on, and the master comes back with a right one.
func TestLaterStartWithAWrongConfiguration(t *testing.T) {
	t.Parallel()
	for name, services := range map[string]int{"with services": copies, "without": 0} {
		d := newBusyDevice(t)
		if services == 0 {
			d.write(t, "var/db/baetyl/application.yml", "version: v1\n", 0o644)
		}
		c, out := d.start(t)
		before := d.await(t, services)
		answers := func() bool { _, status := d.run("reload"); return status == 0 }
		require.Eventually(t, answers, time.Minute, 20*time.Millisecond, name)
		master := otherMaster(t, c.Process.Pid, 0)
		d.write(t, "etc/baetyl/conf.yml", "grace: soon", 0o644)
		require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
		require.Eventually(t, func() bool { return strings.Count(out.String(), "exit status 78") >= 3 },
			time.Minute, 20*time.Millisecond, name)
		require.Equal(t, before, d.processes(), name)
		d.configure(t, "grace: 3s")
		require.Eventually(t, answers, time.Minute, 20*time.Millisecond, name)
		require.Equal(t, before, d.processes(), name)
		require.NoError(t, c.Process.Signal(syscall.SIGTERM))
		require.NoError(t, c.Wait(), name)
	}
}
