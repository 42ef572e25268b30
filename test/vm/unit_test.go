//go:build vm

package vm_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The unit starts the example, each service as a user of its own in a cgroup of its own.
func TestUnitStarts(t *testing.T) {
	m := install(t)
	took := m.run(`began=$(date +%%s%%3N); systemctl start baetyl
		until { : </dev/tcp/127.0.0.1/1883; } 2>/dev/null; do :; done; echo $(($(date +%%s%%3N) - began))`)
	t.Logf("hub listens %s ms after systemctl start, at the first start", took)
	m.running()
	require.Equal(t, "active", m.run("systemctl is-active baetyl"))
	m.run("%s", inspect)

	users := map[string]bool{}
	for _, line := range strings.Split(m.run("%s", processes), "\n") {
		fields := strings.Fields(line)
		service, pid := fields[0], fields[1]
		status := m.run("grep -E '^(Uid|Gid|NoNewPrivs|CapEff|CapBnd)' /proc/%[1]s/status; cat /proc/%[1]s/cgroup", pid)
		uid := strings.Fields(status)[1]
		number, err := strconv.Atoi(uid)
		require.NoError(t, err)
		require.True(t, number >= 70000 && number <= 74999, status)
		require.False(t, users[uid], "%s: user %s is another service's", service, uid)
		users[uid] = true
		require.Contains(t, status, "NoNewPrivs:\t1")
		require.Contains(t, status, "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000")
		require.Regexp(t, `(?m)^0::/system.slice/baetyl.service/baetyl\.\w+/`+service+"@"+service+"$", status)
	}
	require.Contains(t, m.run("cat %s/cgroup.subtree_control", unit), "cpu memory pids")
	took = m.run(`systemctl stop baetyl; began=$(date +%%s%%3N); systemctl start baetyl
		until { : </dev/tcp/127.0.0.1/1883; } 2>/dev/null; do :; done; echo $(($(date +%%s%%3N) - began))`)
	t.Logf("hub listens %s ms after systemctl start, at the second start", took)
}

// What replaces the master, or only asks it, leaves services alone: same processes, and messages go on.
func TestServicesOutliveTheMaster(t *testing.T) {
	m := install(t)
	m.start()
	services, held := m.run("%s", processes), m.run("%s", keeper)
	flow := m.flow(1)
	defer flow.close()

	first := m.run("%s", master)
	m.run("sed -i 's/level: info/level: debug/' /usr/local/etc/baetyl/conf.yml && systemctl reload baetyl")
	m.log("in effect: logger.level")
	require.Equal(t, first, m.run("%s", master), "a reload replaces nothing")

	require.Empty(t, m.run("cd /tmp && /usr/local/bin/baetyl restart >/dev/null"))
	second := m.run("%s", master)
	require.NotEqual(t, first, second, "baetyl restart replaces the master")

	m.run("kill -9 %s", second)
	third := m.until(time.Minute, "p=$(%s) && test $p != %s && echo $p", master, second)
	m.until(time.Minute, inspect)
	require.NotEqual(t, second, third)
	require.Equal(t, services, m.run("%s", processes))
	require.Equal(t, held, m.run("%s", keeper))
	require.Equal(t, "0", m.run("systemctl show --value -p NRestarts baetyl"))
	flow.check(2*time.Minute, "while the master was replaced")
	t.Logf("slowest of %d messages: %s", len(flow.acked), flow.slowest)
}

// systemctl restart restarts all, and stop leaves nothing.
func TestUnitRestartsAndStops(t *testing.T) {
	m := install(t)
	m.start()
	services := m.run("%s", processes)
	m.run("systemctl restart baetyl")
	m.running()
	for _, line := range strings.Split(m.run("%s", processes), "\n") {
		require.NotContains(t, services, line)
	}

	began := time.Now()
	m.run("systemctl stop baetyl")
	t.Logf("stopped after %s", time.Since(began).Round(100*time.Millisecond))
	require.Empty(t, m.run("%s", leftovers))
	require.Equal(t, "success", m.run("systemctl show --value -p Result baetyl"))
	m.log("master stopped.*(SIGTERM|baetyl stop)") // the unit asks first, and signals what has not heard
	log := m.run("cat /usr/local/var/log/baetyl/services/localhub.log")
	require.Contains(t, log, "[localhub] ")
}

// kill -9 of the keeper ends what it holds. systemd starts anew, and nothing runs twice.
func TestKeeperIsKilled(t *testing.T) {
	m := install(t)
	m.start()
	services, held := m.run("%s", processes), m.run("%s", keeper)
	m.run("kill -9 %s", held)
	m.until(time.Minute, "p=$(%s) && test $p != 0 && test $p != %s", keeper, held)
	m.running()
	for _, line := range strings.Split(m.run("%s", processes), "\n") {
		require.NotContains(t, services, line)
	}
	for _, line := range []string{"localhub module", "timer module", "baetyl-master start"} {
		require.Equal(t, "1", m.run("pgrep -cf '^%s'", line), line)
	}
	require.Equal(t, "1", m.run("ls -d %s/baetyl.* | wc -l", unit))
	require.Equal(t, "1", m.run("systemctl show --value -p NRestarts baetyl"))
	m.run(`for group in %s/baetyl.*/*@*; do
		test "$(wc -l <$group/cgroup.procs)" = 1 || { echo $group; exit 1; }
	done`, unit)
}
