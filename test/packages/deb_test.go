//go:build packages

package packages_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	etc      = "/usr/local/etc/baetyl/conf.yml"
	hub      = "/usr/local/var/db/baetyl/localhub-conf/service.yml"
	password = "/usr/local/var/db/baetyl/localhub-conf/password"
	app      = "/usr/local/var/db/baetyl/application.yml"
)

// Nothing that was there is lost, and nothing is left behind, without systemd running.
func TestDebInstallRemovePurge(t *testing.T) {
	r := debian(t)
	before := r.files()
	out := r.dpkg(artifact(t, "-linux-amd64.deb"))
	require.NotContains(t, out, "warning")
	for name, mode := range map[string]fs.FileMode{
		"/usr/local/bin/baetyl": 0o755, etc: 0o644, hub: 0o644, password: 0o600, app: 0o600,
		"/usr/local/var/log/baetyl": 0o755, "/usr/local/var/run/baetyl": 0o755,
		"/usr/lib/systemd/system/baetyl.service": 0o644, "/usr/share/man/man1/baetyl.1.gz": 0o644,
		"/usr/share/bash-completion/completions/baetyl":    0o644,
		"/usr/share/fish/vendor_completions.d/baetyl.fish": 0o644,
		"/usr/share/zsh/vendor-completions/_baetyl":        0o644,
	} {
		info, err := os.Stat(r.path(name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	require.Regexp(t, `^[A-Za-z0-9_-]{24}\n$`, r.read(password))
	require.Contains(t, r.read("/etc/group"), "\nbaetyl:x:")
	require.Contains(t, r.run("/usr/local/bin/baetyl", "version"), version)
	require.Contains(t, r.run("/usr/local/bin/baetyl", "__complete", "ser"), "service\t", "what completion scripts ask")
	require.Empty(t, r.run("dpkg", "--verify", "baetyl"))

	r.write("/usr/local/var/db/baetyl/mine", "data")
	secret := r.read(password)
	r.run("dpkg", "--remove", "baetyl")
	require.NoFileExists(t, r.path("/usr/local/bin/baetyl"))
	for _, name := range []string{etc, hub, app, "/usr/local/var/db/baetyl/mine"} {
		require.FileExists(t, r.path(name))
	}
	// Installed again, it goes on with what it had.
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	require.Equal(t, secret, r.read(password))

	require.NoError(t, os.MkdirAll(r.path("/var/lib/baetyl"), 0o700))
	r.write("/var/lib/baetyl/native-users", "{}")
	r.run("dpkg", "--purge", "baetyl")
	same(t, before, r.files())
	require.NotContains(t, r.read("/etc/group"), "baetyl")
}

// Whoever removes and purges in two steps has the same.
func TestDebPurgeAfterRemove(t *testing.T) {
	long(t)
	r := debian(t)
	before := r.files()
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	r.run("dpkg", "--remove", "baetyl")
	r.run("dpkg", "--purge", "baetyl")
	same(t, before, r.files())
}

// A file that the user has changed stays in upgrade and downgrade; one that he has not gets the new text.
func TestDebUpgrade(t *testing.T) {
	long(t)
	deb := artifact(t, "-linux-amd64.deb")
	r := debian(t)
	r.dpkg(deb)
	secret := r.read(password)
	text := strings.Replace(r.read(hub), "1883", "1999", 1)
	r.write(hub, text)
	r.write(app, "version: mine\n")
	newer := next(t, deb, "9.0-1", map[string]string{
		etc: "# newer\nmode: native\n", hub: "# newer\n",
		"/usr/share/baetyl/minimal" + strings.TrimPrefix(app, "/usr/local"): "version: v9\n",
	})
	r.dpkg(newer, "--force-confdef", "--force-confold")
	require.Equal(t, "# newer\nmode: native\n", r.read(etc))
	require.Equal(t, text, r.read(hub))
	require.Equal(t, "version: mine\n", r.read(app))
	require.Equal(t, secret, r.read(password))
	require.Contains(t, r.run("dpkg-query", "-W", "baetyl"), "9.0-1")

	r.dpkg(deb, "--force-confdef", "--force-confold")
	require.Contains(t, r.read(etc), "unix:///var/run/baetyl.sock")
	require.Equal(t, text, r.read(hub))
	require.Equal(t, "version: mine\n", r.read(app))
	require.Equal(t, secret, r.read(password))
}

// A root without the programs of systemd gets its group and its folders too.
func TestDebWithoutSystemdsPrograms(t *testing.T) {
	long(t)
	r := debian(t)
	for _, name := range []string{"systemd-sysusers", "systemd-tmpfiles", "systemctl", "deb-systemd-helper"} {
		require.NoError(t, os.RemoveAll(r.path(filepath.Join("/usr/bin", name))))
	}
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	require.Contains(t, r.read("/etc/group"), "\nbaetyl:x:")
	require.DirExists(t, r.path("/usr/local/var/log/baetyl"))
	r.run("dpkg", "--purge", "baetyl")
	require.NoDirExists(t, r.path("/usr/local/var"))
}
