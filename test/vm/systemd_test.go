//go:build vm

package vm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roundTrip publishes a message that the hub retains, and gets it. It fails as long as the hub does not answer.
const roundTrip = `mosquitto_pub -u test -P hahaha -t vm/ping -q 1 -r -m pong &&
	mosquitto_sub -u test -P hahaha -t vm/ping -C 1 -W 15`

// leftovers is what must not be there when the unit is stopped: processes, cgroups, mounts.
const leftovers = `
	ps -eo pid,comm,args | grep -E '^ *[0-9]+ baetyl'
	ls -d /sys/fs/cgroup/system.slice/baetyl.service 2>/dev/null
	grep /usr/local /proc/mounts
	true`

// The unit starts the example at boot, and stops it without anything being left.
func TestUnitStartsAndStops(t *testing.T) {
	m := install(t)
	m.run("systemctl start baetyl")
	require.Contains(t, m.until(3*time.Minute, roundTrip), "pong")
	m.until(time.Minute, "pgrep -x baetyl-timer")
	require.Equal(t, "active", m.run("systemctl is-active baetyl"))

	began := time.Now()
	m.run("systemctl stop baetyl")
	t.Logf("stopped after %s", time.Since(began).Round(time.Second))
	require.Empty(t, m.run(leftovers))
	require.Equal(t, "success", strings.TrimPrefix(m.run("systemctl show -p Result baetyl"), "Result="))

	m.reboot()
	require.Contains(t, m.until(3*time.Minute, roundTrip), "pong", "it starts at boot")
}
