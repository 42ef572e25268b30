//go:build packages

package packages_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// start runs the installed baetyl in a network and mounts of its own, so that its ports and paths are nobody else's,
// and returns what runs a program of this machine in that network.
func (r root) start() (inside func(args ...string) string) {
	r.t.Helper()
	script := `ip link set lo up && mount -t proc proc "$1/proc" && exec chroot "$1" /usr/local/bin/baetyl start`
	c := exec.Command("unshare", "--net", "--mount", "sh", "-c", script, "sh", r.dir)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	require.NoError(r.t, c.Start())
	r.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if r.t.Failed() {
			r.t.Log(out.String())
			for _, name := range []string{"baetyl.log", "services/localhub.log", "services/function-manager.log"} {
				data, _ := os.ReadFile(r.path("/usr/local/var/log/baetyl/" + name))
				r.t.Logf("%s:\n%s", name, data)
			}
		}
	})
	return func(args ...string) string {
		out, _ := try(nil, "nsenter", append([]string{"--net=/proc/" + itoa(c.Process.Pid) + "/ns/net"}, args...)...)
		return out
	}
}

// answer publishes to a topic until a message comes at another one, for three minutes.
func answer(t *testing.T, inside func(...string) string, user, secret, publish, payload, subscribe string) string {
	t.Helper()
	requires.Command(t, "mosquitto_pub", "apt-get install mosquitto-clients")
	login := []string{"-h", "127.0.0.1", "-u", user, "-P", secret}
	said := ""
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		done := make(chan string, 1)
		go func() {
			done <- inside(append([]string{"mosquitto_sub", "-C", "1", "-W", "3", "-t", subscribe}, login...)...)
		}()
		for waits := true; waits; {
			inside(append([]string{"mosquitto_pub", "-q", "1", "-t", publish, "-m", payload}, login...)...)
			select {
			case said = <-done:
				waits = false
			case <-time.After(200 * time.Millisecond):
			}
		}
		if strings.Contains(said, strings.Trim(payload, "{}")) {
			return said
		}
	}
	require.Fail(t, "no message came", "at %s; the last word of mosquitto_sub: %s", subscribe, said)
	return ""
}

// The minimal application: a hub on the loopback, for whoever knows the password that was made.
func TestMinimalApplication(t *testing.T) {
	r := debian(t)
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	inside := r.start()
	secret := strings.TrimSpace(r.read(password))
	require.Equal(t, "hello\n", answer(t, inside, "baetyl", secret, "t", "hello", "t"))
	require.Contains(t, inside("mosquitto_pub", "-h", "127.0.0.1", "-u", "baetyl", "-P", "wrong", "-t", "t", "-m", "x"),
		"bad user name or password")
	for _, line := range strings.Split(inside("ss", "-Hltn"), "\n") {
		if line != "" {
			require.Contains(t, line, "127.0.0.1:", "a port that others reach")
		}
	}
}

// The example of the documents, with the Python of Debian, which has no gRPC.
func TestExample(t *testing.T) {
	long(t)
	r := debian(t)
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	r.dpkg(filepath.Join(built, "baetyl-function-python3-"+version+".deb"))
	out := r.dpkg(filepath.Join(built, "baetyl-example-"+version+".deb"))
	require.NotContains(t, out, "kept")
	t.Run("runs", func(t *testing.T) {
		inside := root{t, r.dir}.start()
		require.Contains(t, answer(t, inside, "test", "hahaha", "t", `{"id":1}`, "t/py3hi"), "hello world")
		require.Contains(t, answer(t, inside, "test", "hahaha", "t", `{"id":2}`, "t/sqlfilter"), `"id":2`)
	})
	r.run("dpkg", "--purge", "baetyl-example", "baetyl-function-python3")
	for _, name := range []string{app, hub, etc} {
		minimal := r.read("/usr/share/baetyl/minimal" + strings.TrimPrefix(name, "/usr/local"))
		require.Equal(t, minimal, r.read(name))
	}
	for _, line := range r.files() {
		if strings.HasPrefix(line, "/usr/local/var/log/") { // until baetyl is purged
			continue
		}
		require.NotContains(t, line, "python36")
		require.NotContains(t, line, "cert-only-for-test")
	}
}

// A changed file is not the example's to replace, and it says so.
func TestExampleKeepsWhatWasChanged(t *testing.T) {
	long(t)
	r := debian(t)
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	r.write(app, "version: mine\n")
	out := r.dpkg(filepath.Join(built, "baetyl-example-"+version+".deb"))
	require.Contains(t, out, "kept "+app)
	require.Equal(t, "version: mine\n", r.read(app))
	r.run("dpkg", "--purge", "baetyl-example")
	require.Equal(t, "version: mine\n", r.read(app))
}

func itoa(pid int) string { return strconv.Itoa(pid) }
