//go:build vm

package vm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// shared is the machine that tests use one after the other; nil when there is none.
var shared *machine

// discard ends the shared machine.
func discard() {
	if shared != nil && os.Getenv("VM_DIR") == "" {
		shared.remove()
	}
	shared = nil
}

// afresh is a machine as before the first start of Baetyl.
const afresh = `
	systemctl stop baetyl 2>/dev/null
	systemctl reset-failed 2>/dev/null
	umount /usr/local/var/log 2>/dev/null
	set -e
	rm -rf /etc/systemd/system/baetyl.service.d /small /usr/local
	cp -a /opt/site /usr/local
	# The clients of these tests are not on this machine.
	sed -i s/127.0.0.1/0.0.0.0/ /usr/local/var/db/baetyl/localhub-conf/service.yml
	systemctl daemon-reload && systemctl enable -q baetyl`

// install gives the test a machine with the example and its unit, which is not started. After a test that has failed it
// is another machine.
func install(t *testing.T) *machine {
	t.Helper()
	m := shared
	isNew := m == nil
	if isNew {
		m = create(t, "1883")
		shared = m
	}
	m.T = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the machine's journal:\n%s", m.try("journalctl --no-pager -n 200").text)
			discard()
		}
	})
	if isNew {
		if os.Getenv("VM_DIR") == "" {
			m.up()
		}
		m.copy(site, "/opt/site")
		unit, err := filepath.Abs("../../scripts/systemd")
		require.NoError(t, err)
		m.copy(unit, "/etc/systemd/system")
	}
	m.run(afresh)
	m.since = "@" + m.run("date +%%s")
	return m
}

// start starts the unit, and waits until all of the example runs.
func (m *machine) start() {
	m.Helper()
	m.run("systemctl start baetyl")
	m.running()
}

// running waits until all of the example runs, and the hub answers.
func (m *machine) running() {
	m.Helper()
	m.until(3*time.Minute, roundTrip)
	m.until(time.Minute, "test $(%s | wc -l) = 3", processes)
}

// in is the machine for a subtest.
func (m *machine) in(t *testing.T) *machine {
	copied := *m
	copied.T = t
	return &copied
}

// write writes a file of the machine.
func (m *machine) write(path, text string) {
	m.Helper()
	m.run("mkdir -p $(dirname %[1]s) && cat >%[1]s <<'EndOfFile'\n%[2]s\nEndOfFile", path, text)
}

// application is the file of the example with more services: entries of `services:`, whose package is the attacker.
func (m *machine) application(version, entries string) string {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(site, "var/db/baetyl/application.yml"))
	require.NoError(m, err)
	const rest = "\n    image: attacker\n    replica: 1" +
		"\n    mounts: [{name: attacker, path: lib/baetyl/attacker, readonly: true}]"
	entries = strings.ReplaceAll(entries, "\n    attacker:", rest)
	return strings.NewReplacer(
		"\nversion: v0\n", "\nversion: "+version+"\n",
		"\nvolumes:\n", "\n"+strings.Trim(entries, "\n")+"\nvolumes:\n  - name: attacker\n    path: var/db/baetyl/attacker\n",
	).Replace(string(text))
}

// services adds services before the first start.
func (m *machine) services(entries string) {
	m.Helper()
	m.write("/usr/local/var/db/baetyl/application.yml", m.application("v0", entries))
}

// update adds services by an update, and waits until it is done.
func (m *machine) update(entries string) {
	m.Helper()
	m.write("/usr/local/var/db/baetyl/next/application.yml", m.application("v1", entries))
	m.run("%s", put(`{"path": "var/db/baetyl/next", "trace": "next"}`))
	m.until(3*time.Minute, `grep '"step":"UPDATED".*"trace":"next"' /usr/local/var/db/baetyl/ota.log`)
}

// put asks the master for an update.
func put(body string) string {
	return "curl -sS --fail-with-body --unix-socket /usr/local/" + masterapi.AdminSocket + " -X PUT -d '" + body +
		"' http://baetyl" + masterapi.PathUpdate
}

// inspect asks the master for inspect.
const inspect = "curl -sf --unix-socket /usr/local/" + masterapi.AdminSocket + " http://baetyl" + masterapi.PathInspect

// unit is the cgroup of the unit.
const unit = "/sys/fs/cgroup/system.slice/baetyl.service"

// roundTrip publishes a message that the hub retains, and gets it. It fails as long as the hub does not answer.
const roundTrip = `mosquitto_pub -u test -P hahaha -t vm/ping -q 1 -r -m pong &&
	mosquitto_sub -u test -P hahaha -t vm/ping -C 1 -W 15`

// processes prints service, process and its start time for each of the example's services that always run, with the one
// process that each of them is.
const processes = `(cd ` + unit + `/baetyl.*/ && for s in localhub function-manager timer; do
	for p in $(cat $s@$s/cgroup.procs); do echo $s $p $(sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20); done; done)`

// keeper and master print their process ids.
const (
	keeper = "systemctl show --value -p MainPID baetyl"
	master = "pgrep -x baetyl-master"
)

// leftovers is what must not be there when the unit is stopped: processes, cgroups, sockets, mounts.
const leftovers = `
	ps -eo pid,comm | grep -E ' (baetyl|attacker)'
	ls -d ` + unit + ` 2>/dev/null
	find /usr/local/var/run -type s 2>/dev/null
	find /usr/local/var/run/baetyl -mindepth 2 2>/dev/null
	grep /usr/local /proc/mounts
	true`
