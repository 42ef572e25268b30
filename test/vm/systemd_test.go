//go:build vm

package vm_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// show prints a property of the unit.
const show = "systemctl show --value baetyl -p "

// override adds lines to the unit's section Service.
func (m *machine) override(lines string) {
	m.Helper()
	m.write("/etc/systemd/system/baetyl.service.d/test.conf", "[Service]\n"+lines)
	m.run("systemctl daemon-reload")
}

// systemd knows when the application has been started, and how things are. Neither what the master goes through nor
// what systemd does itself, a new configuration or a new program of its own, stops anything.
func TestSystemdKnows(t *testing.T) {
	long(t)
	m := install(t)
	m.override("WatchdogSec=20s\nTimeoutAbortSec=30s")
	m.run("systemctl start baetyl && test $(%s | wc -l) = 3", processes)
	services, held := m.run("%s", processes), m.run("%s", keeper)
	m.until(time.Minute, show+"StatusText | grep -xE 'services: [0-9]+, failing: 0'")

	m.run("cp /usr/local/etc/baetyl/conf.yml /tmp/ && echo mode: nativ >>/usr/local/etc/baetyl/conf.yml")
	refused := m.try("systemctl reload baetyl")
	require.Error(t, refused.err, "a configuration that is wrong")
	m.log("conf.yml: mode: stands twice")
	require.Equal(t, "active", m.run("systemctl is-active baetyl"))
	m.run("cp /tmp/conf.yml /usr/local/etc/baetyl/ && systemctl reload baetyl")
	m.log("configuration read again")
	m.run("kill -HUP %s", held)
	m.until(time.Minute, show+"SubState | grep -x running")

	first := m.run("%s", master)
	m.run("kill -9 %s", first)
	m.until(time.Minute, "p=$(%s) && test $p != %s && systemctl is-active baetyl", master, first)
	m.run("systemctl daemon-reload && systemctl daemon-reexec")
	sign := m.run(show + "WatchdogTimestampMonotonic")
	m.until(time.Minute, "test $("+show+"WatchdogTimestampMonotonic) -gt %s", sign)
	m.until(time.Minute, show+"StatusText | grep -xE 'services: [0-9]+, failing: 0'")
	require.Equal(t, services, m.run("%s", processes))
	require.Equal(t, held, m.run("%s", keeper))
	require.Equal(t, "0", m.run(show+"NRestarts"))

	// A keeper that stands still holds nothing any more.
	m.run("kill -STOP %s", held)
	m.until(3*time.Minute, "test $("+show+"NRestarts) = 1 && systemctl is-active baetyl")
	m.log("Watchdog timeout")
	m.running()
	m.run("systemctl stop baetyl")
	require.Empty(t, m.run("%s", leftovers))
	require.Equal(t, "success", m.run(show+"Result"))
}

// A clock of 1970, as that of a device without a battery, and the jump to today, end nothing.
func TestClockOf1970(t *testing.T) {
	long(t)
	m := install(t)
	m.run("sync")
	m.down()
	m.clock = "1970-01-02"
	m.up()
	m.running()
	services := m.run("%s", processes)
	m.run("date -s @%d", time.Now().Unix())
	sign := m.run(show + "WatchdogTimestampMonotonic")
	m.run("date -s @100000")
	m.until(5*time.Minute, "test $("+show+"WatchdogTimestampMonotonic) -gt %s", sign)
	m.run("date -s @%d", time.Now().Unix())
	m.run(roundTrip)
	require.Equal(t, services, m.run("%s", processes))
	require.Equal(t, "0", m.run(show+"NRestarts"))
	m.down()
	m.clock = ""
	m.up()
	m.running()
}
