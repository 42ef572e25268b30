//go:build linux

package hub_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// inRunFolder runs a hub in the run folder of an instance, below a folder that others may enter, and returns that.
func inRunFolder(t *testing.T, more string) (workdir string, d *desk) {
	t.Helper()
	workdir, err := os.MkdirTemp("", "hub") // t.TempDir is 0700 above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(workdir)) })
	run := filepath.Join(workdir, "var/run/baetyl", "instances", "localhub", "localhub")
	require.NoError(t, os.MkdirAll(run, 0o755))
	require.NoError(t, os.Chmod(workdir, 0o755))
	t.Setenv("BAETYL_SERVICE_RUN_DIR", run)
	return workdir, openDeskAt(t, filepath.Join(run, masterapi.ServiceAdmin), open+more)
}

// Root, the hub's user and members of the group may use the socket, others not, and that has a line in the log.
func TestAdminIsForPersons(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this test needs root")
	}
	curl := requires.Command(t, "curl", "apt-get install curl")
	group, err := user.LookupGroup("daemon")
	require.NoError(t, err)
	gid, err := strconv.ParseUint(group.Gid, 10, 32)
	require.NoError(t, err)
	_, d := inRunFolder(t, "admin: {group: daemon}\n")
	status := func(who syscall.Credential) string {
		c := exec.Command(curl, "-s", "--unix-socket", d.path, "-w", "%{http_code}", "-o", os.DevNull,
			"http://hub"+hubapi.Counters)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &who}
		out, err := c.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	require.Equal(t, "200", status(syscall.Credential{}))
	require.Equal(t, "200", status(syscall.Credential{Uid: 54321, Gid: 54321, Groups: []uint32{uint32(gid)}}))
	for range 3 {
		require.Equal(t, "403", status(syscall.Credential{Uid: 54321, Gid: 54321}))
	}
	mqtttest.Until(t, "one line", func() bool { return strings.Contains(d.out.String(), "uid 54321") })
	require.Equal(t, 1, strings.Count(d.out.String(), "not in group daemon (admin.group)"))
}

// Each command of the document works as it stands.
func TestAdminDocument(t *testing.T) {
	requires.Command(t, "curl", "apt-get install curl")
	text, err := os.ReadFile("../../docs/hub.md")
	require.NoError(t, err)
	_, chapter, found := strings.Cut(string(text), "\n## Admin interface\n")
	require.True(t, found)
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(chapter)
	require.NotNil(t, block)
	workdir, d := inRunFolder(t, "")
	c, _ := join(t, d.url(0), "sensor-1", durable)
	publish(t, c, "state/1", "on", 1, true)
	cmd := exec.Command("sh", "-ec", `curl() { command curl --fail "$@"; echo; }`+"\n"+block[1])
	cmd.Dir = workdir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	answers := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	require.Len(t, answers, strings.Count(block[1], "curl "))
	require.Contains(t, answers[0], `"client":"sensor-1"`)
	require.Contains(t, answers[3], `"topic":"state/1"`)
	require.Contains(t, answers[4], `"items":[]`)
	require.Contains(t, answers[6], `"allowed":true,"rule":"principals[0].permissions[0].permit[0]"`)
	require.Equal(t, `{"done":1}`, answers[len(answers)-1])
	for route := range strings.SplitSeq(strings.Join([]string{
		hubapi.Clients, hubapi.Sessions, hubapi.Subscriptions, hubapi.Retained, hubapi.Counters, hubapi.Access, hubapi.Kick,
		hubapi.DeleteSession, hubapi.DeleteRetained, hubapi.Publish, hubapi.Receivers, hubapi.Messages,
	}, " "), " ") {
		require.Contains(t, chapter, "| `"+route+"` |")
	}
}
