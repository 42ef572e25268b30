//go:build linux

package keeper_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
)

// What a leader leaves in its group has the grace time of its service, not the one that the keeper has for others.
func TestGraceOfAProcess(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c) // a second
	spec := shell(t, "a", `(trap 'sleep 2; echo child is done; exit 0' TERM; echo up; while :; do sleep 0.02; done) &
trap 'exit 0' TERM; while :; do sleep 0.02; done`)
	spec.Grace = 20 * time.Second
	start(t, c, spec)
	eventually(t, "it runs", func() bool { lines, _ := c.Tail("a"); return len(lines) == 1 })
	if err := c.Signal("a", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, c, "a")
	if lines, err := c.Tail("a"); err != nil || lines[len(lines)-1] != "child is done" {
		t.Errorf("%q, %v", lines, err)
	}
}

// A process that the master has killed is not waited for until its grace time is over.
func TestGraceEndsWithSIGKILL(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c)
	spec := shell(t, "a", `(trap '' TERM; echo up; while :; do sleep 0.02; done) &
trap 'exit 0' TERM; while :; do sleep 0.02; done`)
	spec.Grace = time.Hour
	start(t, c, spec)
	eventually(t, "it runs", func() bool { lines, _ := c.Tail("a"); return len(lines) == 1 })
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := c.Signal("a", sig); err != nil {
			t.Fatal(err)
		}
	}
	ended(t, c, "a")
}

// cgroups makes a group for the test in each hierarchy of v1, or in v2.
func cgroups(t *testing.T) (v2 string, v1 []string) {
	t.Helper()
	for _, at := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		path := filepath.Join(at, "keeper-test-"+strconv.Itoa(os.Getpid()))
		if _, err := os.Stat(filepath.Join(at, "cgroup.procs")); err != nil || os.Mkdir(path, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			eventually(t, "the cgroup is empty", func() bool { return os.Remove(path) == nil })
		})
		if at == "/sys/fs/cgroup" {
			v2 = path
		} else {
			v1 = append(v1, path)
		}
	}
	if v2 == "" && v1 == nil {
		t.Skip("this host lets us make no cgroup")
	}
	return v2, v1
}

// The keeper ends what has left the group of its process when no master does, also when its leader has ended before.
func TestStrays(t *testing.T) {
	v2, v1 := cgroups(t)
	r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "RIG_ALIVE=3s") })
	enter := ""
	for _, dir := range v1 {
		enter += "echo $$ >" + dir + "/cgroup.procs; "
	}
	pidOf := func(name string) int {
		var pid int
		eventually(t, name+" runs", func() bool {
			text, _ := os.ReadFile(filepath.Join(r.dir, name))
			pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			return pid > 0
		})
		return pid
	}
	for name, after := range map[string]string{"left": "while :; do sleep 0.02; done", "alone": "exit 0"} {
		script := enter + `setsid sh -c 'trap "" TERM; echo $$ >` + name +
			`; while :; do sleep 0.02; done' >/dev/null 2>&1 & ` +
			"while [ ! -s " + name + " ]; do sleep 0.02; done; " + after
		r.must(command{Op: "start", Spec: &keeper.Spec{
			Handle: name, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
			Dir: r.dir, Cgroup: v2, Cgroups: v1,
			Output: keeper.Output{File: filepath.Join(r.dir, "log"), Instance: name, Size: 1, Age: 1, Backups: 1},
		}})
	}
	strays := []int{pidOf("left"), pidOf("alone")}
	r.must(command{Op: "end", Handle: "alone"})
	t.Cleanup(func() {
		for _, pid := range strays {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	r.file("behaviour", "exit 3")
	_ = syscall.Kill(r.master(0), syscall.SIGKILL)
	r.says("crashed")
	r.signal(syscall.SIGTERM)
	r.wait()
	for _, pid := range strays {
		if lives(pid) {
			t.Errorf("process %d was left behind", pid)
		}
	}
}

// A master that says that it is alive and stops nothing is not waited for without an end.
func TestStopThatDoesNotEnd(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "deaf")
	r.run(func(c *cmd) { c.Env = append(c.Env, "RIG_STOP=200ms") })
	p := r.start("a", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done")
	begun := time.Now()
	r.signal(syscall.SIGTERM)
	if status := r.wait(); status == 0 || lives(p.PID) || time.Since(begun) > 40*time.Second {
		t.Errorf("status %d after %s", status, time.Since(begun))
	}
	r.says("the master has not stopped everything within 6.2s and is killed")
}
