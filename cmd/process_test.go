package cmd_test

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// processes returns the pids of the directory's services and of what they have started, but for what they sleep with,
// which is the same as its parent before it has become sleep: all have the folder in their environment. In docker mode
// it returns the ids of its containers.
func (d *device) processes() []string {
	if d.containers != "" {
		return d.docker("ps", "--quiet")
	}
	var out []string
	for _, pid := range pids() {
		env, _ := os.ReadFile("/proc/" + pid + "/environ") // empty: it has ended
		if !bytes.Contains(env, []byte("BAETYL_SERVICE_NAME=")) || !bytes.Contains(env, []byte(d.dir+"/")) {
			continue
		}
		line := lineOf(pid)
		if line != "" && !strings.HasPrefix(line, "sleep\x00") && line != lineOf(parentOf(pid)) {
			out = append(out, pid)
		}
	}
	return out
}

// lineOf is the command line of a process as the kernel shows it, empty when it has ended.
func lineOf(pid string) string {
	line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	return string(line)
}

// parentOf is empty when the process has ended.
func parentOf(pid string) string {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(after); len(f) > 1 {
		return f[1]
	}
	return ""
}

// pids are all processes of this machine.
func pids() (out []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, e.Name())
		}
	}
	return out
}

// masterOf returns the pid of the master of a keeper, 0 while there is none.
func masterOf(keeper int) int {
	for _, pid := range pids() {
		if parentOf(pid) == strconv.Itoa(keeper) && strings.HasPrefix(lineOf(pid), "baetyl-master\x00") {
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}

// otherMaster waits for a master of that keeper that is not the one before.
func otherMaster(t *testing.T, keeper, before int) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool { pid = masterOf(keeper); return pid != 0 && pid != before }, time.Minute,
		5*time.Millisecond, "no master runs")
	return pid
}

func (d *device) await(t *testing.T, n int) []string {
	t.Helper()
	require.Eventually(t, func() bool { return len(d.processes()) == n }, time.Minute, 50*time.Millisecond,
		"expected %d processes of services, there are %v", n, d.processes())
	return d.processes()
}

// answers waits until the API does.
func (d *device) answers(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var i masterapi.Inspect
		return d.client(t, "loop").Get(context.Background(), masterapi.PathInspect, &i) == nil && len(i.Services) == 2
	}, time.Minute, 20*time.Millisecond, "the API does not answer")
}
