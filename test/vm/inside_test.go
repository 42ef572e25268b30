//go:build vm

package vm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
)

// long skips a test that the short form leaves out.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not in the short form")
	}
}

// A service, also as root of a user namespace of its own, does not get at the host or at other services.
func TestAttacksFromInside(t *testing.T) {
	long(t)
	m := install(t)
	require.Equal(t, "Y", m.run("cat /sys/module/apparmor/parameters/enabled"))
	m.start()
	hub := m.run("pgrep -f '^localhub module'")
	const workdir = "/usr/local/"
	group := m.run("cd %s/baetyl.*/localhub@localhub && pwd", unit)
	denied := []string{ // attacks, which must not work
		"read:/etc/shadow", "create:/etc/attack", "append:/etc/passwd", "device:/tmp/mem", "packets:", "listen:81",
		"user:0", "group:0", "mount:/mnt", "unmount:/proc", "processes:", "files:2000000",
		"list:" + workdir + "var/run/baetyl/services/localhub", "list:" + workdir + "var/run/baetyl/" + "instances/localhub",
		"list:" + workdir + "var/db/baetyl/localhub-data", "read:" + workdir + "var/log/baetyl/services/localhub.log",
		"read:" + workdir + "var/db/baetyl/users.json", "read:" + workdir + "var/run/baetyl/instances.json",
		"read:" + workdir + "var/db/baetyl/localhub-cert-only-for-test/server.key",
		"read:" + workdir + "etc/baetyl/conf.yml", "connect:" + workdir + "var/run/baetyl/admin.sock",
		"append:" + workdir + "var/db/baetyl/attacker/package.yml", "remove:" + workdir + "bin/baetyl",
		"cgroup:" + group, "cgroup:" + unit, "cgroup:/sys/fs/cgroup",
		"remount:" + workdir + "var/db/baetyl/attacker",
	}
	for _, pid := range []string{hub, m.run("%s", keeper), m.run("%s", master), "1"} {
		for _, verb := range []string{"signal", "trace", "environ", "memory", "root", "enter"} {
			denied = append(denied, verb+":"+pid)
		}
	}
	quoted := `"` + strings.Join(denied, `", "`) + `"`
	m.update(fmt.Sprintf(`
  - name: plain
    attacker:
    args: [%s, %s]
    restart: {policy: "no"}
  - name: namespace
    attacker:
    args: [%s, %s]
    restart: {policy: "no"}
`, attack.Arg, quoted, attack.ArgRoot, quoted))
	require.Equal(t, hub, m.run("pgrep -f '^localhub module'"), "the update has not touched it")
	for _, service := range []string{"plain", "namespace"} {
		outcomes := m.attempt(service)
		if why := outcomes[attack.NoNamespace]; why != "" {
			t.Logf("%s: %s", service, why)
			continue
		}
		require.Len(t, outcomes, len(denied))
		for arg, outcome := range outcomes {
			if service == "namespace" && harmless[strings.SplitN(arg, ":", 2)[0]] {
				continue
			}
			require.False(t, strings.HasPrefix(outcome, attack.Worked), "%s: %s: %s", service, arg, outcome)
		}
	}
	require.Equal(t, "0", m.run("dmesg | grep -c 'apparmor=.DENIED' || true"), "AppArmor refuses nothing that we need")
}

// harmless is what root of a user namespace may do, to itself.
var harmless = map[string]bool{"mount": true, "packets": true, "listen": true, "user": true, "group": true}

// What leaves its session and its group, as a daemon does, dies with its service.
func TestDaemonsEndWithTheirService(t *testing.T) {
	long(t)
	m := install(t)
	m.services(`
  - name: daemons
    attacker:
    args: [daemons]
    stop: {grace: 3s}
`)
	m.start()
	const list = "cat " + unit + "/baetyl.*/daemons@daemons/cgroup.procs"
	first := m.until(time.Minute, "test $(%[1]s | wc -l) = 6 && %[1]s", list)
	m.run("kill -9 $(pgrep -xf daemons.daemons)")
	second := m.until(2*time.Minute, "test $(%[1]s | wc -l) = 6 && %[1]s", list)
	for _, pid := range strings.Fields(first) {
		require.NotContains(t, strings.Fields(second), pid)
	}
	m.run("for p in %s; do ! kill -0 $p 2>/dev/null || exit 1; done", strings.Join(strings.Fields(first), " "))
	m.run("systemctl stop baetyl")
	require.Empty(t, m.run("%s", leftovers))
}
