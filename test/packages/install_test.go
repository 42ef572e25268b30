//go:build packages

package packages_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// release is a folder with what a release publishes, signed with a key of its own.
type release struct {
	dir string // its name has a space
	key string // the public one
}

func publish(t *testing.T) release {
	t.Helper()
	r := release{dir: filepath.Join(t.TempDir(), "a release")}
	require.NoError(t, os.Mkdir(r.dir, 0o755))
	names, err := filepath.Glob(filepath.Join(built, "*-"+version+"*"))
	require.NoError(t, err)
	for _, name := range append(names, filepath.Join(built, "SHA256SUMS")) {
		command(t, nil, "cp", name, r.dir)
	}
	command(t, nil, "cp", filepath.Join(checkout, "scripts/install.sh"), r.dir)
	secret, public := filepath.Join(t.TempDir(), "test.key"), filepath.Join(t.TempDir(), "test.pub")
	minisign := filepath.Join(checkout, "output/cache/minisign")
	command(t, nil, minisign, "-G", "-W", "-s", secret, "-p", public)
	command(t, nil, minisign, "-S", "-s", secret, "-m", filepath.Join(r.dir, "SHA256SUMS"))
	data, err := os.ReadFile(public)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	r.key = lines[len(lines)-1]
	return r
}

// small is a Debian whose shell, wget, tar and the rest are those of busybox.
func small(t *testing.T) root {
	r := debian(t)
	box := requires.Command(t, "busybox", "apt-get install busybox-static")
	require.NoError(t, os.MkdirAll(r.path("/opt/bin"), 0o755))
	command(t, nil, "cp", box, r.path("/opt/bin/busybox"))
	tools := "sh wget gzip sed grep cut head tail tr dd cmp mktemp base64 sha256sum find mv cp rm"
	for _, name := range strings.Fields(tools) {
		require.NoError(t, os.Symlink("busybox", r.path("/opt/bin/"+name)))
	}
	return r
}

// script runs install.sh there, with busybox's shell.
func (r root) script(args ...string) (string, error) {
	r.t.Helper()
	command(r.t, nil, "cp", filepath.Join(checkout, "scripts/install.sh"), r.path("/opt/install.sh"))
	env := []string{"PATH=/opt/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}
	return try(env, "chroot", append([]string{r.dir, "/opt/bin/sh", "/opt/install.sh"}, args...)...)
}

// From a server, with a signature that OpenSSL checks, and away again.
func TestScriptInstalls(t *testing.T) {
	long(t)
	from := publish(t)
	server := httptest.NewServer(http.FileServer(http.Dir(from.dir)))
	defer server.Close()
	r := small(t)
	before := r.files()
	out, err := r.script("--url", server.URL, "--public-key", from.key)
	require.NoError(t, err, out)
	require.Contains(t, out, "the signature of SHA256SUMS is right")
	require.Contains(t, out, password)
	require.Contains(t, r.run("dpkg-query", "-W", "baetyl"), "1.0")
	require.Contains(t, r.run("/usr/local/bin/baetyl", "version"), version)
	out, err = r.script("--url", server.URL, "--public-key", from.key)
	require.NoError(t, err, "a second time: %s", out)
	out, err = r.script("--uninstall", "--purge")
	require.NoError(t, err, out)
	left := r.files()
	for i, line := range left {
		if strings.HasPrefix(line, "/var/log/apt") || strings.HasPrefix(line, "/var/lib/apt") {
			left[i] = ""
		}
		if strings.HasPrefix(line, "/opt/install.sh") {
			left[i] = ""
		}
	}
	for _, line := range left {
		require.NotContains(t, line, "baetyl")
	}
	for _, line := range before {
		if !strings.Contains(line, "/apt") {
			require.Contains(t, left, line, "lost")
		}
	}
}

// What is damaged or signed by somebody else is not installed, and the error says what it is.
func TestScriptRefuses(t *testing.T) {
	long(t)
	r := small(t)
	for name, c := range map[string]struct {
		harm func(t *testing.T, from *release)
		says string
	}{
		"a damaged package": {func(t *testing.T, from *release) {
			name := filepath.Join(from.dir, "baetyl-"+version+"-linux-amd64.deb")
			require.NoError(t, os.WriteFile(name, []byte("harm"), 0o644))
		}, "is damaged"},
		"other digests": {func(t *testing.T, from *release) {
			require.NoError(t, os.WriteFile(filepath.Join(from.dir, "SHA256SUMS"), []byte("harm\n"), 0o644))
		}, "the signature of SHA256SUMS is not that of the key"},
		"another key": {func(t *testing.T, from *release) { from.key = publish(t).key },
			"the signature of SHA256SUMS is not that of the key"},
		"no key": {func(_ *testing.T, from *release) { from.key = "" }, "--public-key"},
		"no signature": {func(t *testing.T, from *release) {
			require.NoError(t, os.Remove(filepath.Join(from.dir, "SHA256SUMS.minisig")))
		}, "has no SHA256SUMS.minisig"},
	} {
		t.Run(name, func(t *testing.T) {
			from := publish(t)
			c.harm(t, &from)
			dir := r.path("/opt/a release")
			require.NoError(t, os.RemoveAll(dir))
			command(t, nil, "cp", "-r", from.dir, dir)
			out, err := r.script("--offline", "/opt/a release", "--public-key", from.key)
			require.Error(t, err)
			require.Contains(t, out, c.says)
			require.NoFileExists(t, r.path("/usr/local/bin/baetyl"))
		})
	}
}

// Distributions that no test machine has are told by their os-release in a root of Debian: which file would be taken,
// and which command run. That the commands do what they should there is not tried.
func TestScriptKnowsDistributions(t *testing.T) {
	from := publish(t)
	r := small(t)
	command(t, nil, "cp", "-r", from.dir, r.path("/opt/release"))
	require.NoError(t, os.Remove(r.path("/etc/os-release")))
	for release, says := range map[string]string{
		"ID=debian":                                       "would run: /usr/bin/dpkg",
		"ID=ubuntu\nID_LIKE=debian":                       "would run: /usr/bin/dpkg",
		"ID=raspbian\nID_LIKE=debian":                     "would run: /usr/bin/dpkg",
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"":    "would run: /usr/bin/rpm -U",
		"ID=fedora":                                       "would run: /usr/bin/rpm -U",
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"": "would run: /usr/bin/rpm -U",
		"ID=alpine":                                       "would unpack: baetyl-" + version + "-linux-amd64.tar.gz",
	} {
		r.write("/etc/os-release", release+"\n")
		out, err := r.script("--offline", "/opt/release", "--public-key", from.key, "--dry-run")
		require.NoError(t, err, out)
		require.Contains(t, out, says, release)
		require.NoDirExists(t, r.path("/usr/local/share/baetyl"))
	}
}

// Where the root is read-only, what is in /tmp may not run and /var is writable, the archive goes to a folder of
// choice.
func TestScriptOnReadOnlyRoot(t *testing.T) {
	long(t)
	from := publish(t)
	r := small(t)
	command(t, nil, "cp", "-r", from.dir, r.path("/var/release"))
	command(t, nil, "cp", filepath.Join(checkout, "scripts/install.sh"), r.path("/var/install.sh"))
	r.write("/var/answers", "# fifty gateways\nprefix=/var/opt/my baetyl\nstart=no\nexample=native\n")
	enter := `cd "$1" && mount --bind "$1" "$1" && mount --bind "$1/var" "$1/var" && mount -o remount,bind,ro "$1" &&
mount -t tmpfs -o noexec tmp "$1/tmp" && shift && exec chroot "$0" "$@"`
	inside := func(args ...string) string {
		return command(t, []string{"PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "unshare", append([]string{
			"--mount", "sh", "-c", enter, r.dir, r.dir}, args...)...)
	}
	script := []string{"/opt/bin/sh", "/var/install.sh", "--offline", "/var/release", "--public-key", from.key}
	out := inside(append(script, "--answers", "/var/answers")...)
	require.Contains(t, out, "/var/opt/my baetyl/bin/baetyl start")
	require.Contains(t, inside("/var/opt/my baetyl/bin/baetyl", "version"), version)
	require.FileExists(t, r.path("/var/opt/my baetyl/var/db/baetyl/localhub-cert-only-for-test/server.pem"))
	changed := "/var/opt/my baetyl/etc/baetyl/conf.yml"
	r.write(changed, "mode: native\n")
	require.Contains(t, inside(append(script, "--answers", "/var/answers")...), "kept "+changed)
	out = inside("/opt/bin/sh", "/var/install.sh", "--answers", "/var/answers", "--uninstall")
	require.Contains(t, out, "kept "+changed)
	require.NoFileExists(t, r.path("/var/opt/my baetyl/bin/baetyl"))
	inside("/opt/bin/sh", "/var/install.sh",
		"--prefix", "/var/opt/my baetyl", "--no-signature", "--offline", "/var/release")
	inside("/opt/bin/sh", "/var/install.sh", "--answers", "/var/answers", "--uninstall", "--purge")
	require.NoDirExists(t, r.path("/var/opt/my baetyl/etc"))
}

// A question that nobody answers, and a wrong answer, change nothing.
func TestScriptAsks(t *testing.T) {
	long(t)
	from := publish(t)
	r := small(t)
	command(t, nil, "cp", "-r", from.dir, r.path("/opt/release"))
	r.write("/usr/local/bin/baetyl", "mine")
	require.NoError(t, os.Chmod(r.path("/usr/local/bin/baetyl"), 0o755))
	options := []string{"--offline", "/opt/release", "--public-key", from.key}
	out, err := r.script(options...)
	require.Error(t, err)
	require.Contains(t, out, "overwrite=yes")
	for answer, says := range map[string]string{
		"overwrite=no": "nothing was changed", "overwrite=maybe": "allowed are: yes no",
		"owerwrite=yes": "no such key 'owerwrite', allowed are: example overwrite",
	} {
		r.write("/opt/answers", answer)
		out, err = r.script(append(options, "--answers", "/opt/answers")...)
		require.Error(t, err)
		require.Contains(t, out, says)
		require.Equal(t, "mine", r.read("/usr/local/bin/baetyl"))
	}
	out, err = r.script(append(options, "--yes")...)
	require.NoError(t, err, out)
	require.NotEqual(t, "mine", r.read("/usr/local/bin/baetyl"))
}
