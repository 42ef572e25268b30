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

// A log disk that hangs, and a journal that is stopped, hold up no message, no restart and no stop.
func TestLogDiskThatHangs(t *testing.T) {
	m := install(t)
	m.run(logDisk)
	m.run("systemctl start baetyl")
	m.until(3*time.Minute, roundTrip)
	m.run("fsfreeze -f /usr/local/var/log")
	defer m.try("fsfreeze -u /usr/local/var/log")
	m.run("systemctl kill -s STOP systemd-journald")
	defer m.try("systemctl kill -s CONT systemd-journald")

	// The hub says a line for each of these, and dies in between.
	for range 3 {
		m.run("for n in $(seq 20); do mosquitto_pub -u nobody -P wrong -t x -m x; done; pkill -KILL baetyl-hub")
		require.Contains(t, m.until(3*time.Minute, roundTrip), "pong", "the hub was started again")
	}
	// A process that waits for a frozen disk cannot end; everything else does.
	m.run("systemctl --no-block stop baetyl")
	m.until(2*time.Minute, "! pgrep '^baetyl-(hub|timer|function)'")
	m.run("fsfreeze -u /usr/local/var/log && systemctl kill -s CONT systemd-journald")
	m.until(time.Minute, "test $(systemctl is-active baetyl) = inactive")
	m.run("umount /usr/local/var/log")
	require.Empty(t, m.run(leftovers))
}

// A log disk that is full is said once, and the log goes on when there is room.
func TestLogDiskThatIsFull(t *testing.T) {
	if testing.Short() {
		t.Skip("the kind is in TestLogDiskThatHangs")
	}
	m := install(t)
	m.run(logDisk)
	m.run("systemctl start baetyl")
	m.until(3*time.Minute, roundTrip)
	m.run("dd if=/dev/zero of=/usr/local/var/log/ballast bs=64k 2>/dev/null; test -s /usr/local/var/log/ballast")
	m.run("for n in $(seq 200); do mosquitto_pub -u nobody -P wrong -t x -m x; done; pkill -KILL baetyl-hub")
	require.Contains(t, m.until(3*time.Minute, roundTrip), "pong")
	m.until(time.Minute, "journalctl -u baetyl | grep 'no space left on device'")
	m.run("rm /usr/local/var/log/ballast")
	m.until(time.Minute, "journalctl -u baetyl | grep -E 'works again|is written again'")
	before := m.run("stat -c %%s %s", hubLog)
	m.run("pkill -KILL baetyl-hub")
	m.until(3*time.Minute, roundTrip)
	m.until(time.Minute, "test $(stat -c %%s %s) -gt %s", hubLog, before)
	said := m.run("journalctl -u baetyl | grep -c 'no space left on device'")
	require.Len(t, said, 1, "once for a file, of which there are few")
}
