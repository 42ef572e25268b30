//go:build vm

package vm_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logDisk puts var/log of the installation on a small disk of its own.
const logDisk = `mkdir -p /usr/local/var/log && truncate -s 16M /small && mkfs.ext4 -q /small &&
	mount -o loop /small /usr/local/var/log`

// hubLog is the output of the hub.
const hubLog = "/usr/local/var/log/baetyl/services/localhub.log"

// refused makes the hub say a line for each of some clients.
const refused = "for n in $(seq %d); do mosquitto_pub -u nobody -P wrong -t x -m x; done 2>/dev/null; true"

// A log disk that hangs, and a journal that is stopped, hold up no message, no restart and no stop.
func TestLogDiskThatHangs(t *testing.T) {
	long(t)
	m := install(t)
	m.run(logDisk)
	m.start()
	m.run("fsfreeze -f /usr/local/var/log")
	defer m.try("fsfreeze -u /usr/local/var/log")
	m.run("systemctl kill -s STOP systemd-journald")
	defer m.try("systemctl kill -s CONT systemd-journald")

	for range 3 {
		m.run(refused, 20)
		m.run("pkill -KILL -f '^localhub module'")
		require.Contains(t, m.until(3*time.Minute, roundTrip), "pong", "the hub was started again")
	}
	// A process that waits for a frozen disk cannot end; everything else does.
	m.run("systemctl --no-block stop baetyl")
	m.until(2*time.Minute, "! ps -eo comm= | grep -E '^baetyl-(hub|timer|function)'")
	m.run("fsfreeze -u /usr/local/var/log && systemctl kill -s CONT systemd-journald")
	m.until(3*time.Minute, "test $(systemctl is-active baetyl) = inactive")
	m.run("umount /usr/local/var/log")
	require.Empty(t, m.run("%s", leftovers))
}

// A log disk that is full is said once, and the log goes on when there is room.
func TestLogDiskThatIsFull(t *testing.T) {
	long(t)
	m := install(t)
	m.run(logDisk)
	m.start()
	m.run("dd if=/dev/zero of=/usr/local/var/log/ballast bs=64k 2>/dev/null; test -s /usr/local/var/log/ballast")
	m.run(refused, 100)
	m.run("pkill -KILL -f '^localhub module'")
	require.Contains(t, m.until(3*time.Minute, roundTrip), "pong")
	said := m.log("no space left on device")
	m.run("rm /usr/local/var/log/ballast")
	m.log("works again|is written again")
	before := m.run("stat -c %%s %s", hubLog)
	m.run("pkill -KILL -f '^localhub module'")
	m.until(3*time.Minute, roundTrip)
	m.until(time.Minute, "test $(stat -c %%s %s) -gt %s", hubLog, before)
	t.Logf("said: %s", said)
	m.until(time.Minute, "test $(journalctl -q -u baetyl --since %s | grep -c 'no space left on device') -lt 10", m.since)
}
