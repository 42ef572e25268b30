package cmd_test

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// newOperatedDevice has versions of an application in files beside the device's own.
func newOperatedDevice(t *testing.T) *device {
	d := newBusyDevice(t)
	d.configure(t, "grace: 3s\nupdate: {healthy: 300ms, deadline: 1m}")
	d.write(t, "var/db/baetyl/application.yml", fmt.Sprintf(updated, "v1", ""), 0o644)
	d.write(t, "home/v2.yml", fmt.Sprintf(updated, "v2", ""), 0o644)
	bad := strings.ReplaceAll(fmt.Sprintf(updated, "v3", "exit"), "replica: 2", "replica: 2\n    restart: {policy: no}")
	d.write(t, "home/bad.yml", bad, 0o644)
	d.write(t, "home/wrong.yml", strings.Replace(fmt.Sprintf(updated, "v4", ""), "image: pkg", "imag: pkg", 1), 0o644)
	d.write(t, "var/db/baetyl/pkg/bin/run", worker, 0o755)
	return d
}

// expect runs a command and compares its status, and parts of its output.
func (d *device) expect(t *testing.T, status int, parts []string, args ...string) string {
	t.Helper()
	out, code := d.run(args...)
	require.Equal(t, status, code, "baetyl %s:\n%s", strings.Join(args, " "), out)
	for _, p := range parts {
		require.Contains(t, out, p, "baetyl %s", strings.Join(args, " "))
	}
	return out
}

// history returns version and result of each entry, the newest first.
func (d *device) history(t *testing.T) (out []string) {
	t.Helper()
	var h masterapi.History
	require.NoError(t, json.Unmarshal([]byte(d.expect(t, 0, nil, "history", "-o", "json")), &h))
	for _, e := range h.Entries {
		out = append(out, e.Version+" "+e.Result)
	}
	return out
}

// began waits until the newest entry of the history is this one.
func (d *device) began(t *testing.T, newest string) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := d.history(t)
		return len(all) > 0 && all[0] == newest
	}, time.Minute, 10*time.Millisecond)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	d.expect(t, 0, []string{"OK! ", `version "v2", 2 services, mode native`}, "validate", d.path("home/v2.yml"))
	d.expect(t, 0, []string{`"mode": "docker"`}, "validate", "-o", "json", "--mode", "docker", d.path("home/v2.yml"))
	d.expect(t, 78, []string{"wrong.yml: line 5: services[0].imag: unknown key", `did you mean "image"?`}, "validate",
		d.path("home/wrong.yml"))
	d.expect(t, 1, []string{"no such file"}, "validate", d.path("home/none.yml"))
	d.expect(t, 2, []string{"--mode"}, "validate", "--mode", "x", d.path("home/v2.yml"))
	d.expect(t, 2, nil, "validate")
	c := exec.Command(d.path("bin/baetyl"), "validate", "-")
	c.Stdin = strings.NewReader("services: [{name: \"\x1b[31m\", image: i}]\n")
	out, err := c.CombinedOutput()
	require.ErrorContains(t, err, "exit status 78", "%s", out)
	require.NotContains(t, string(out), "\x1b")
	d.write(t, "home/large.yml", strings.Repeat("#\n", 5<<19), 0o644)
	d.expect(t, 78, []string{"large.yml: "}, "validate", d.path("home/large.yml"))
	d.write(t, "home/app.tar.gz", "x", 0o644)
	d.expect(t, 78, []string{"app.tar.gz: pack it as .zip"}, "apply", d.path("home/app.tar.gz"))
	d.expect(t, 1, []string{"no master runs in"}, "plan", d.path("home/v2.yml"))
	d.expect(t, 78, nil, "apply", d.path("home/wrong.yml"))
}

// What an operator does: see what would change, apply it, see it rolled back, and put the one before back.
func TestApplyAndRevert(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	c, _ := d.start(t)
	d.answers(t)
	d.began(t, "v1 running")
	d.expect(t, 0, []string{"worker", "restart", "services[1].args[0]: v1 → v2 (line 12)", "loop", "keep"}, "plan",
		d.path("home/v2.yml"))
	require.Equal(t, []string{"v1 running"}, d.history(t), "a plan changes nothing")
	d.write(t, "home/escape.yml", strings.Replace(fmt.Sprintf(updated, "v1", ""), "    args:",
		`    env: {X: "\e]title\a"}`+"\n    args:", 1), 0o644)
	require.NotContains(t, d.expect(t, 0, []string{`services[1].env.X: - → \x1b]title\a`}, "plan",
		d.path("home/escape.yml")), "\x1b")

	d.expect(t, 0, []string{"service worker stops: args changed", "service worker starts", "update done",
		`done: version "v2" runs`}, "apply", d.path("home/v2.yml"))
	d.expect(t, 1, []string{"the update was rolled back", "exit status 3"}, "apply", d.path("home/bad.yml"))
	require.Equal(t, []string{"v3 rolled_back", "v2 running", "v1 ended"}, d.history(t))
	d.expect(t, 0, []string{"exit status 3", "services[1].restart.policy: always → no"}, "history", "3")
	d.expect(t, 1, []string{"application 9: not in the history"}, "history", "9")
	d.expect(t, 2, []string{"is no number of the history"}, "history", "x")

	d.expect(t, 0, []string{"back to application 1", "done: application 1 runs again"}, "revert")
	require.Equal(t, []string{"v1 running", "v3 rolled_back", "v2 ended", "v1 ended"}, d.history(t))
	d.expect(t, 1, []string{"application 4 runs already"}, "revert", "4")
	d.expect(t, 1, []string{"the update was rolled back"}, "revert", "3")
	d.expect(t, 0, nil, "revert", "2", "--no-wait", "--yes")
	d.began(t, "v2 running")

	// Somebody changes the file while no master runs.
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
	d.write(t, "var/db/baetyl/application.yml", fmt.Sprintf(updated, "v5", ""), 0o644)
	d.start(t)
	d.answers(t)
	d.began(t, "v5 running")
	d.expect(t, 0, []string{"the file was changed"}, "history")
}

// A folder and a package bring volumes, which are never put over data that is there.
func TestApplyOfAFolderAndAPackage(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	d.start(t)
	d.answers(t)
	text := fmt.Sprintf(updated, "v2", "") + "  - {name: data, path: var/db/baetyl/data-v2}\n"
	d.write(t, "home/dir/application.yml", text, 0o644)
	d.write(t, "home/dir/var/db/baetyl/data-v2/x", "new", 0o644)
	d.write(t, "home/dir/var/db/baetyl/out/x", "over data", 0o644)
	d.expect(t, 0, []string{"volume put in place: var/db/baetyl/data-v2",
		"there already, and left as it is: var/db/baetyl/out"}, "apply", d.path("home/dir"))
	data, err := os.ReadFile(d.path("var/db/baetyl/data-v2/x"))
	require.NoError(t, err)
	require.Equal(t, "new", string(data))
	require.NoFileExists(t, d.path("var/db/baetyl/out/x"))

	archive := d.path("home/app.zip")
	f, err := os.Create(archive)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	for name, content := range map[string]string{
		"application.yml": strings.NewReplacer("v2", "v3").Replace(text), "var/db/baetyl/data-v3/x": "newer",
	} {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	d.expect(t, 0, []string{"volume put in place: var/db/baetyl/data-v3"}, "apply", archive)
	require.FileExists(t, d.path("var/db/baetyl/data-v3/x"))
	found, err := filepath.Glob(d.path("var/db/baetyl/.apply-*"))
	require.NoError(t, err)
	require.Empty(t, found)

	d.write(t, "home/out/application.yml", "services: []\nvolumes: [{name: e, path: etc/baetyl}]\n", 0o644)
	d.write(t, "home/out/etc/baetyl/conf.yml", "x", 0o644)
	d.expect(t, 1, []string{"no service would be left"}, "apply", d.path("home/out"))
	d.expect(t, 78, []string{"is not below var/db/baetyl"}, "apply", "--force", d.path("home/out"))
}

// What was stopped by hand stays so, whatever restarts, until it is started or an update changes it.
func TestServicesByHand(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	c, _ := d.start(t)
	d.answers(t)
	d.await(t, 3)
	d.expect(t, 1, []string{"worker: stopped; it stays so until: baetyl service start worker",
		"wroker: not stopped: service (wroker) not found; did you mean \"worker\"?", "1 of 2 services failed"},
		"service", "stop", "worker", "wroker")
	d.await(t, 1)
	said := []string{"worker", "stopped", "by hand, by ", "baetyl service start worker"}
	d.expect(t, 0, said, "ps")
	d.expect(t, 0, said, "status")
	d.expect(t, 0, []string{`"since"`, `"uid"`}, "inspect", "worker", "-o", "json")
	d.expect(t, 0, []string{"service stopped by hand, by "}, "events")
	d.expect(t, 0, nil, "restart")
	d.await(t, 1)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
	c, _ = d.start(t)
	d.answers(t)
	d.await(t, 1)
	require.NoError(t, syscall.Kill(masterOf(c.Process.Pid), syscall.SIGKILL))
	d.answers(t)
	d.await(t, 1)
	d.expect(t, 0, []string{"worker: started"}, "service", "start", "worker")
	d.await(t, 3)
	d.expect(t, 0, []string{"worker: restarted", "loop: restarted"}, "service", "restart", "worker", "loop")
	d.await(t, 3)
	d.expect(t, 0, nil, "service", "stop", "worker")
	d.expect(t, 0, nil, "apply", d.path("home/v2.yml"))
	d.await(t, 3)
	d.expect(t, 2, nil, "service", "stop")
	d.expect(t, 2, nil, "service", "stopp", "worker")
}

// A master that is killed while an update runs: the command goes on with the next one, and says how it has ended.
func TestApplyOverAKilledMaster(t *testing.T) {
	t.Parallel()
	d := newOperatedDevice(t)
	d.configure(t, "grace: 3s\nupdate: {healthy: 3s, deadline: 1m}")
	c, _ := d.start(t)
	d.answers(t)
	apply := exec.Command(d.path("bin/baetyl"), "apply", d.path("home/v2.yml"))
	var said strings.Builder
	apply.Stdout, apply.Stderr = &said, &said
	require.NoError(t, apply.Start())
	require.Eventually(t, func() bool {
		out, _ := d.run("history", "-o", "json") // the update runs when its services do
		workers := d.workers()
		return strings.Contains(out, "v1") && len(workers) == 2 && strings.Contains(strings.Join(workers, " "), "v2")
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, syscall.Kill(masterOf(c.Process.Pid), syscall.SIGKILL))
	err := apply.Wait()
	require.ErrorContains(t, err, "exit status 1", said.String())
	require.Contains(t, said.String(), "the update was rolled back")
	require.Equal(t, []string{"v2 rolled_back", "v1 running"}, d.history(t))
}
