//go:build packages

package packages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// rpm runs Debian's rpm upon the root, with a database there. Its dependencies, which are Fedora's names, are not
// looked for: Debian's programs serve.
func (r root) rpm(args ...string) string {
	r.t.Helper()
	requires.Command(r.t, "rpm", "apt-get install rpm")
	return command(r.t, nil, "rpm", append([]string{"--root", r.dir, "--nodeps"}, args...)...)
}

// What the user has changed is kept by an erase, and the rest goes; rpm knows no purge, so data stays.
func TestRPMInstallErase(t *testing.T) {
	r := debian(t)
	pkg := artifact(t, "-linux-amd64.rpm")
	r.rpm("-i", pkg)
	require.Regexp(t, `^[A-Za-z0-9_-]{24}\n$`, r.read(password))
	require.Contains(t, r.read("/etc/group"), "\nbaetyl:x:")
	require.Contains(t, r.run("/usr/local/bin/baetyl", "version"), version)
	require.Empty(t, r.rpm("-V", "baetyl"))
	info, err := os.Stat(r.path(password))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	text := strings.Replace(r.read(hub), "1883", "1999", 1)
	r.write(hub, text)
	secret := r.read(password)
	r.rpm("-e", "baetyl")
	require.NoFileExists(t, r.path("/usr/local/bin/baetyl"))
	require.NoFileExists(t, r.path("/usr/lib/systemd/system/baetyl.service"))
	require.NoFileExists(t, r.path(etc))
	require.Equal(t, text, r.read(hub+".rpmsave"))
	require.FileExists(t, r.path(app))
	require.Equal(t, secret, r.read(password))
	require.DirExists(t, r.path("/usr/local/bin"))
}

// An upgrade to another version and the way back keep changed files, the application and the password. A file that the
// user has not changed gets the new text, and the old package's scripts remove nothing.
func TestRPMUpgrade(t *testing.T) {
	long(t)
	r := debian(t)
	pkg := artifact(t, "-linux-amd64.rpm")
	newer := otherRPM(t, "90.0.0", map[string]string{
		etc: "# newer\nmode: native\n", hub: "# newer\n", app: "version: v9\n",
	})
	r.rpm("-i", pkg)
	text := strings.Replace(r.read(hub), "1883", "1999", 1)
	shipped, secret := r.read(etc), r.read(password)
	r.write(hub, text)
	r.write(app, "version: mine\n")
	for _, step := range []struct {
		version, etc string
		args         []string
	}{
		{"90.0.0", "# newer\nmode: native\n", []string{"-U", newer}},
		{version, shipped, []string{"-U", "--oldpackage", pkg}},
		{version, shipped, []string{"-U", "--replacepkgs", pkg}},
		{version, shipped, []string{"-U", "--force", pkg}},
	} {
		r.rpm(step.args...)
		require.Contains(t, r.run("/usr/local/bin/baetyl", "version"), step.version)
		require.Equal(t, step.etc, r.read(etc))
		require.Equal(t, text, r.read(hub))
		require.Equal(t, "version: mine\n", r.read(app))
		require.Equal(t, secret, r.read(password))
	}
	require.NoError(t, os.Remove(r.path(hub+".rpmnew"))) // the text of the newer one, for the user to compare
	entries, err := filepath.Glob(r.path(hub) + "*")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// otherRPM makes the package of another version of this checkout, with other texts of what it puts below /usr/local.
func otherRPM(t *testing.T, version string, change map[string]string) string {
	t.Helper()
	tree := t.TempDir()
	command(t, nil, "sh", "-c", `cd "$1" && git ls-files -z | tar --null -T - -c | tar -C "$2" -x`, "sh", checkout, tree)
	for name, text := range change {
		path := filepath.Join(tree, "packaging", "minimal", strings.TrimPrefix(name, "/usr/local"))
		require.FileExists(t, path)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	command(t, []string{"SOURCE_DATE_EPOCH=1790000000", "MAKEFLAGS="}, "make", "--no-print-directory", "-C", tree,
		"packages", "TARGETS=amd64", "VERSION="+version)
	return filepath.Join(tree, "output", "packages", "baetyl-"+version+"-linux-amd64.rpm")
}
