//go:build vm

package vm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limited is a service whose memory is limited.
const limited = `
  - name: limited
    attacker:
    args: [wait]
    resources: {memory: {limit: 50m}}
`

// lacks checks that inspect and check, run as the user of the master, name a limit that does not hold, and that the
// service runs.
func (m *machine) lacks(user, why string) {
	m.Helper()
	m.services(limited)
	m.run("systemctl restart baetyl") // it runs after a boot; there may be no cgroups to see it in
	m.until(2*time.Minute, "pgrep -x attacker")
	instance := m.inspect("limited").Instances[0]
	require.Equal(m, "running", instance.Status)
	want := "resources.memory.limit does not hold: "
	require.Contains(m, strings.Join(instance.Warnings, "\n"), want)
	require.Contains(m, strings.Join(instance.Warnings, "\n"), why)
	require.Contains(m, m.run("runuser -u %s -- /usr/local/bin/baetyl check 2>&1", user), want)
}

// A unit without delegation, and a kernel without the controller of memory: the limit is named.
func TestLimitsThatDoNotHold(t *testing.T) {
	long(t)
	m := install(t)
	m.write("/etc/systemd/system/baetyl.service.d/plain.conf", "[Service]\nDelegate=no\nUser=edge")
	m.run("useradd -m edge 2>/dev/null; chown -R edge /usr/local; systemctl daemon-reload")
	m.lacks("edge", "")
	m.run("systemctl stop baetyl; userdel -r edge 2>/dev/null; true")

	m = install(t)
	m.down()
	m.append("cgroup_disable=memory")
	defer m.append("")
	m.up()
	m.lacks("root", "cgroup_enable=memory")
	m.down()
	m.append("")
	m.up()
}

// The users of services lie outside of systemd's range for DynamicUser, and both work beside each other.
func TestDynamicUser(t *testing.T) {
	long(t)
	m := install(t)
	m.start()
	require.Regexp(t, `^6[1-5]\d\d\d$`, m.run("systemd-run -q --pipe -p DynamicUser=yes id -u"))
	m.run(`uids=$(cat %s/baetyl.*/*/cgroup.procs | while read -r p; do stat -c %%u /proc/$p; done)
		test "$uids" && for u in $uids; do test $u -lt 61184 || test $u -gt 65519 || exit 1; done`, unit)
}
