//go:build vm

package vm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// packagedBefore is the first commit with packages.
const packagedBefore = "4eb1db4"

// deb builds the package of a source tree, of a version, and returns its path.
func deb(t *testing.T, tree, version string) string {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command("make", "--no-print-directory", "packages", "TARGETS=amd64", "VERSION="+version)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "OUT="+out, "SOURCE_DATE_EPOCH=1790000000")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	found, err := filepath.Glob(filepath.Join(out, "baetyl?[0-9]*amd64.deb"))
	require.NoError(t, err)
	require.Len(t, found, 1, string(text))
	return found[0]
}

// debBefore is deb for packagedBefore.
func debBefore(t *testing.T) string {
	t.Helper()
	if exec.Command("git", "cat-file", "-e", packagedBefore+"^{commit}").Run() != nil {
		requires.Missing(t, "the version before", "git fetch --unshallow")
	}
	tree := t.TempDir()
	out, err := exec.Command("sh", "-c", "git -C \"$(git rev-parse --show-toplevel)\" archive "+packagedBefore+
		" | tar -x -C "+tree).CombinedOutput()
	require.NoError(t, err, string(out))
	return deb(t, tree, "0.9.9")
}

// bare gives the test a machine on which Baetyl was never installed, but for packages in /opt/deb/<name>.
func bare(t *testing.T, packages map[string]string) *machine {
	t.Helper()
	m := install(t)
	dir := t.TempDir()
	for name, path := range packages {
		require.NoError(t, os.Rename(path, filepath.Join(dir, name+".deb")))
	}
	m.copy(dir, "/opt/deb")
	m.run("systemctl disable -q baetyl; mv /etc/systemd/system/baetyl.service /root/; " +
		"rm -rf /usr/local/* /var/lib/baetyl; mkdir -p /usr/local/bin /usr/local/etc; systemctl daemon-reload")
	t.Cleanup(func() {
		m.try("dpkg --purge baetyl; mv /root/baetyl.service /etc/systemd/system/; systemctl daemon-reload")
	})
	return m
}

// dpkg installs a package of bare, and keeps configuration files that a person has changed. What it syncs takes a
// minute in emulation.
const dpkg = "DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --force-confold -i /opt/deb/%s.deb"

// login are the user and the password that the package has made for its hub.
const login = "-u baetyl -P $(cat /usr/local/var/db/baetyl/localhub-conf/password)"

// packageTrip is roundTrip for the application of the package.
const packageTrip = "mosquitto_pub " + login + " -t vm/ping -q 1 -r -m pong && " +
	"mosquitto_sub " + login + " -t vm/ping -C 1 -W 15"

// hub prints the process of the hub of the package.
const hub = "cat " + unit + "/baetyl.*/localhub@localhub/cgroup.procs"

// remains lists what a machine has besides a package: files with modes and owners, users, groups, units, cgroups and
// mounts. It leaves out what systemd, dpkg, groupadd and daily jobs write.
const remains = `
	find / -xdev \( -path /tmp -o -path '/var/tmp/systemd-private-*' -o -path /opt -o -path /root \
		-o -path /var/log/journal -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/cache \
		-o -path /var/backups -o -path /var/lib/logrotate -o -path /var/log/dpkg.log \
		-o -name 'group-' -o -name 'gshadow-' \) -prune -o -printf '%%p %%M %%u:%%g\n' | sort
	getent passwd; getent group
	systemctl list-unit-files --no-legend '*baetyl*'; systemctl list-units --all --no-legend '*baetyl*'
	systemctl --failed --plain --no-legend
	find /sys/fs/cgroup /run -ipath '*baetyl*'
	grep baetyl /proc/mounts
	true`

// The life of a package: installed, used, upgraded, updated over the air, rebooted, its clock lost, its power
// cut, removed, purged. Nothing is lost, and nothing is left behind.
func TestPackage(t *testing.T) {
	long(t)
	m := bare(t, map[string]string{"this": deb(t, "../..", "1.0.0")})
	before := strings.Split(m.run(remains), "\n")
	m.run(dpkg, "this")
	require.Equal(t, "active", m.run("systemctl is-active baetyl"), "dpkg returns when it runs")
	m.until(time.Minute, packageTrip)
	m.until(time.Minute, "systemctl status --no-pager baetyl | grep -E 'Status: .services: 1, failing: 0'")
	m.livesOn()
	m.goesOffline()
	m.isRemoved()
	m.run("dpkg --purge baetyl")
	require.Empty(t, m.run("%s", leftovers))
	after := strings.Split(m.run(remains), "\n")
	lost, left := different(before, after)
	require.Empty(t, lost)
	require.Empty(t, left)
}

// different are the lines that only the first, and that only the second of two lists has.
func different(before, after []string) (lost, left []string) {
	only := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
	}
	return only(before, after), only(after, before)
}

// livesOn is what people do to an installed package: the hub runs on until they restart all of it.
func (m *machine) livesOn() {
	m.Helper()
	process := m.run(hub)
	m.run("mosquitto_pub " + login + " -t kept -q 1 -r -m data")
	m.run("echo '# mine' >>/usr/local/etc/baetyl/conf.yml")
	m.run("systemctl reload baetyl && /usr/local/bin/baetyl reload && /usr/local/bin/baetyl status")
	m.run("systemctl daemon-reload && systemctl daemon-reexec && /usr/local/bin/baetyl restart")
	m.run(dpkg, "this") // the same version again, as an upgrade
	require.Contains(m, m.run("cat /usr/local/etc/baetyl/conf.yml"), "# mine")
	m.newMaster()
	m.updateMaster("UPDATED", hub)
	require.Equal(m, process, m.run(hub), "none of it is noticed by a service")
	require.Equal(m, "0", m.run(show+"NRestarts"))
	m.run("systemctl restart baetyl && systemctl is-active baetyl")
	m.until(time.Minute, packageTrip)
	require.NotEqual(m, process, m.run(hub))
	m.reboot()
	m.until(3*time.Minute, packageTrip)
}

// goesOffline loses the clock of the device, which rolls an update back then, and cuts its power.
func (m *machine) goesOffline() {
	m.Helper()
	m.down()
	m.clock = "1970-01-02"
	m.up()
	m.until(3*time.Minute, packageTrip)
	process := m.run(hub)
	m.write("/usr/local/var/db/baetyl/master/bin/baetyl", brokenMaster)
	m.updateMaster("ROLLEDBACK", hub)
	m.run("date -s @%d", time.Now().Unix())
	m.until(time.Minute, packageTrip)
	require.Equal(m, process, m.run(hub), "the clock's jump is not noticed by a service")
	require.Equal(m, "0", m.run(show+"NRestarts"))
	m.run("mosquitto_pub " + login + " -t cut -q 1 -r -m acknowledged")
	m.cut()
	m.clock = ""
	m.up()
	m.until(3*time.Minute, packageTrip)
	require.Equal(m, "acknowledged", m.run("mosquitto_sub "+login+" -t cut -C 1 -W 15"))
}

// isRemoved removes the package, and installs it again upon the data that has stayed.
func (m *machine) isRemoved() {
	m.Helper()
	m.run(dpkg, "this") // in place of the program that came over the air
	m.until(time.Minute, "%s | grep '\"bin_version\":\"1.0.0\"'", inspect)
	require.NotContains(m, m.run("dpkg --verify baetyl || true"), "/bin/baetyl")
	m.run("dpkg -r baetyl")
	require.NotEqual(m, "active", m.try("systemctl is-active baetyl").text)
	require.Empty(m, m.run("%s", leftovers))
	m.run(dpkg, "this")
	m.until(3*time.Minute, packageTrip)
	require.Equal(m, "data", m.run("mosquitto_sub "+login+" -t kept -C 1 -W 15"))
}

// An upgrade from the version before, and the way back: services run on, and no watchdog ends what is replaced.
func TestPackageOfTheVersionBefore(t *testing.T) {
	long(t)
	m := bare(t, map[string]string{"before": debBefore(t), "this": deb(t, "../..", "1.0.0")})
	m.write("/etc/systemd/system/baetyl.service.d/test.conf", "[Service]\nWatchdogSec=5s")
	m.run(dpkg, "before")
	m.until(3*time.Minute, packageTrip)
	process, held := m.run(hub), m.run("%s", keeper)
	for _, version := range []string{"this", "before", "this"} {
		said := m.run(dpkg, version)
		if version == "before" {
			require.Contains(t, said, "downgrading baetyl from 1.0.0-1 to 0.9.9-1")
		}
		m.until(time.Minute, packageTrip)
		require.Equal(t, "active", m.run("systemctl is-active baetyl"), version)
		require.Equal(t, "5s", m.run(show+"WatchdogUSec"), version)
		require.Equal(t, process, m.run(hub), version)
		require.Equal(t, held, m.run("%s", keeper), version)
		require.Equal(t, "0", m.run(show+"NRestarts"), version)
	}

	// The hub of each version reads what that of the other has stored.
	for _, version := range []string{"before", "this"} {
		m.run(dpkg, version)
		process = m.run(hub) // of the other version
		m.run("mosquitto_pub "+login+" -t for/%[1]s -q 1 -r -m %[1]s", version)
		m.run("systemctl restart baetyl")
		m.until(3*time.Minute, packageTrip)
		require.NotEqual(t, process, m.run(hub))
		require.Equal(t, version, m.run("mosquitto_sub "+login+" -t for/%s -C 1 -W 15", version))
	}
}
