//go:build vm

package vm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// rootRun is the last commit whose master has no keeper, and whose services run as root.
const rootRun = "f7a1501"

// siteModules are those of the site that are programs in Go.
const siteModules = "baetyl-hub baetyl-function-manager baetyl-function-sql baetyl-timer"

// ofBefore makes the site one that the version before knows: its modules are programs of that version, and no key is
// newer.
const ofBefore = `cd /usr/local/var/db/baetyl && for m in ` + siteModules + `; do
	rm -f $m/function.yml; install -D /opt/before/$m $m/bin/$m && echo "entry: bin/$m" >$m/package.yml || exit 1
	done && awk '/^    healthcheck:/ {off = 1; next} off && /^      / {next} {off = 0; print}' application.yml >new &&
	mv new application.yml`

// before are the programs of that version, built in a folder of its own.
func before(t *testing.T) string {
	t.Helper()
	if exec.Command("git", "cat-file", "-e", rootRun+"^{commit}").Run() != nil {
		requires.Missing(t, "the version before", "git fetch --unshallow")
	}
	tree := t.TempDir()
	out, err := exec.Command("sh", "-c", "git -C \"$(git rev-parse --show-toplevel)\" archive "+rootRun+
		" | tar -x -C "+tree+" && cd "+tree+" && CGO_ENABLED=0 go build -buildvcs=false -o bin/ . "+
		"./"+strings.ReplaceAll(siteModules, " ", " ./")).CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(tree, "bin")
}

// An installation of the version before is taken over when its program is replaced, once and with a line; and the way
// back works.
func TestVersionBefore(t *testing.T) {
	long(t)
	m := install(t)
	m.copy(before(t), "/opt/before")
	m.run(ofBefore)
	// It never says that it is ready: the unit stays activating, and all runs.
	m.run("install /opt/before/baetyl /usr/local/bin/baetyl && systemctl --no-block start baetyl")
	m.until(3*time.Minute, roundTrip)
	require.Equal(t, "0", m.run("stat -c %%u /proc/$(pgrep -x baetyl-hub)"), "services are root")
	m.run("mosquitto_pub -u test -P hahaha -t kept -q 1 -r -m from-before")
	const kept = "mosquitto_sub -u test -P hahaha -t kept -C 1 -W 15"

	m.run("install /opt/site/bin/baetyl /usr/local/bin/baetyl && systemctl restart baetyl")
	m.running()
	require.Equal(t, "from-before", m.run(kept))
	uid := m.run("stat -c %%u /proc/$(pgrep -x baetyl-hub)")
	require.NotEqual(t, "0", uid)
	require.Empty(t, m.run("find /usr/local/var/db/baetyl/localhub-data ! -uid %s", uid))
	m.log("now belong.*localhub-data")
	m.run("systemctl restart baetyl")
	m.running()
	const given = "journalctl -q -u baetyl --since %s | grep -c 'now belong.*localhub-data'"
	require.Equal(t, "1", m.run(given, m.since), "once")

	m.run("systemctl stop baetyl && install /opt/before/baetyl /usr/local/bin/baetyl && systemctl --no-block start baetyl")
	m.until(3*time.Minute, roundTrip)
	require.Equal(t, "from-before", m.run(kept), "the way back")
	m.run("systemctl stop baetyl")
	require.Empty(t, m.run("%s", leftovers))
}

// brokenMaster checks itself, and does not start.
const brokenMaster = `#!/bin/sh
test $1 != start || exit 3
exec /usr/local/bin/baetyl "$@"`

// newMaster puts a program of version 9.9.9 where an update of the master can take it.
func (m *machine) newMaster() {
	m.Helper()
	dir := m.TempDir()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", "-ldflags",
		"-X github.com/baetyl/baetyl/cmd.Version=9.9.9", "github.com/baetyl/baetyl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(m, err, string(out))
	m.copy(dir, "/usr/local/var/db/baetyl/master/bin")
}

// updateMaster asks for an update to the program that lies there, and waits until it ends with that step. Either way
// 9.9.9 runs afterwards, and neither services nor keeper nor the unit have noticed anything.
func (m *machine) updateMaster(step, services string) {
	m.Helper()
	before, held, restarts := m.run("%s", services), m.run("%s", keeper), m.run(show+"NRestarts")
	m.run("%s", put(`{"type": "MST", "path": "var/db/baetyl/master", "trace": "`+step+`"}`))
	m.until(5*time.Minute, `grep '"step":"%[1]s".*"trace":"%[1]s"' /usr/local/var/db/baetyl/ota.log`, step)
	m.until(time.Minute, "%s | grep '\"bin_version\":\"9.9.9\"'", inspect)
	require.Equal(m, held, m.run("%s", keeper))
	require.Equal(m, before, m.run("%s", services))
	require.Equal(m, "active "+restarts, m.run("echo $(systemctl is-active baetyl) $("+show+"NRestarts)"))
	require.Contains(m, m.run("/usr/local/bin/baetyl version"), "9.9.9", "it is what starts from now on")
}

// A new master by the API, and one that is rejected: services, keeper and unit know of nothing.
func TestMasterUpdate(t *testing.T) {
	long(t)
	m := install(t)
	m.start()
	m.newMaster()
	old := m.run("%s", master)
	m.updateMaster("UPDATED", processes)
	require.NotEqual(t, old, m.run("%s", master))
	m.write("/usr/local/var/db/baetyl/master/bin/baetyl", brokenMaster)
	m.updateMaster("ROLLEDBACK", processes)
	m.run("systemctl restart baetyl")
	m.running()
	require.NotContains(t, m.run("ls /usr/local/bin"), ".new")
}
