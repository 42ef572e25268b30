package cgroup_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/protocol/app"
)

// freshID is that of no installation that there was. A folder of a test may have the number of one that is gone, whose
// groups are not, when a test was killed.
func freshID() string { return fmt.Sprintf("%012x", rand.Uint64()>>16) }

// tree is that of this machine, for an installation of the test's own.
func tree(t *testing.T) *cgroup.Tree {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	tr, err := cgroup.Find(freshID())
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, g := range tr.Left() {
			require.NoError(t, g.Kill(deadline(t)))
			require.NoError(t, g.Remove())
		}
		require.NoError(t, tr.Close())
	})
	return tr
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// run starts a shell in g, as keeper and launch do it.
func run(t *testing.T, g *cgroup.Group, script string) {
	t.Helper()
	var join strings.Builder
	for _, d := range g.V1() {
		fmt.Fprintf(&join, "echo $$ >%s/cgroup.procs || exit 99\n", d)
	}
	c := exec.Command("/bin/sh", "-c", join.String()+script)
	if at := g.V2(); at != "" {
		f, err := os.Open(at)
		require.NoError(t, err)
		defer f.Close()
		c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	}
	require.NoError(t, c.Start())
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = g.Kill(deadline(t))
		<-done
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, time.Minute, 10*time.Millisecond, what)
}

// Processes in sessions of their own, stopped ones and those that ignore signals all end.
func TestKill(t *testing.T) {
	g, warnings, err := tree(t).Make("hub", "hub.i1", app.Resources{})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.False(t, g.Populated())
	run(t, g, `trap '' TERM INT
setsid sleep 1000 &
(setsid sh -c 'sleep 1000 & sleep 1000' &)
sleep 1000 &
kill -STOP $!
sleep 1000`)
	eventually(t, "all have started", func() bool { list, err := g.PIDs(); return err == nil && len(list) >= 6 })
	require.True(t, g.Populated())
	require.GreaterOrEqual(t, g.Stats().PIDs, 6)
	require.NoError(t, g.Signal(syscall.SIGTERM))
	require.NoError(t, g.Kill(deadline(t)))
	require.False(t, g.Populated())
	require.NoError(t, g.Remove())
	require.NoError(t, g.Remove(), "twice")
	require.NoError(t, g.Kill(deadline(t)), "nothing is there")
}

// A fork bomb is limited, and ends.
func TestKillForkBomb(t *testing.T) {
	g, warnings, err := tree(t).Make("bomb", "bomb", app.Resources{Pids: app.Pids{Limit: 60}})
	require.NoError(t, err)
	require.Empty(t, warnings)
	run(t, g, "f() { f | f & }; while :; do f; done 2>/dev/null")
	eventually(t, "it is at its limit", func() bool { return g.Stats().PIDs >= 50 })
	require.LessOrEqual(t, g.Stats().PIDs, 60)
	require.NoError(t, g.Kill(deadline(t)))
	require.False(t, g.Populated())
}

func TestMemory(t *testing.T) {
	limits := app.Resources{Memory: app.Memory{Limit: 32 << 20, Swap: 32 << 20}}
	g, warnings, err := tree(t).Make("eater", "eater", limits)
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Zero(t, g.OOM())
	run(t, g, "(head -c 500m /dev/zero | tail) ; sleep 1000")
	eventually(t, "the child is killed", func() bool { return g.OOM() == 1 })
	require.True(t, g.Populated(), "the rest lives on")
	s := g.Stats()
	require.EqualValues(t, 32<<20, s.Limit)
	require.LessOrEqual(t, s.Memory, uint64(32<<20))
	require.Positive(t, s.CPU)
}

func TestCPU(t *testing.T) {
	g, warnings, err := tree(t).Make("busy", "busy", app.Resources{CPU: app.CPU{Cpus: 0.1, SetCPUs: "0"}})
	require.NoError(t, err)
	require.Empty(t, warnings)
	began := time.Now()
	run(t, g, "while :; do :; done")
	eventually(t, "it has run", func() bool { return time.Since(began) > time.Second })
	used := g.Stats().CPU
	require.Positive(t, used)
	require.Less(t, used, time.Since(began)/4, "a tenth, and what one period is more")
}

func TestCoresThatThereAreNot(t *testing.T) {
	_, warnings, err := tree(t).Make("busy", "busy", app.Resources{CPU: app.CPU{SetCPUs: "0,4000"}})
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "resources.cpu.setcpus: not all of 0,4000 can be used; it runs on 0")
}

// Another master finds what is there, by service and instance.
func TestOpenAndLeft(t *testing.T) {
	tr := tree(t)
	names := [][2]string{{"a", "a"}, {"fm", "fm.say hi/../x.1"}, {"hub", "hub.i1"}}
	for _, n := range names {
		_, _, err := tr.Make(n[0], n[1], app.Resources{})
		require.NoError(t, err)
	}
	left := tr.Left()
	require.Len(t, left, len(names))
	for i, g := range left {
		require.Equal(t, names[i], [2]string{g.Service, g.Instance})
		again, err := tr.Open(g.Service, g.Instance)
		require.NoError(t, err)
		require.Equal(t, g.V2(), again.V2())
		require.Equal(t, g.V1(), again.V1())
		require.NoError(t, again.Remove())
	}
	require.Empty(t, tr.Left())
	_, err := tr.Open("a", "a")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// An empty group of an earlier instance is replaced, one with a process is not.
func TestMakeAgain(t *testing.T) {
	tr := tree(t)
	_, _, err := tr.Make("a", "a", app.Resources{Pids: app.Pids{Limit: 3}})
	require.NoError(t, err)
	g, _, err := tr.Make("a", "a", app.Resources{})
	require.NoError(t, err)
	run(t, g, "sleep 1000")
	eventually(t, "it runs", g.Populated)
	_, _, err = tr.Make("a", "a", app.Resources{})
	require.ErrorContains(t, err, "with processes")
	require.True(t, g.Populated())
}

// Two installations do not see each other's groups, also when one is a copy of the other.
func TestInstallations(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	require.NoError(t, os.Mkdir(one, 0o755))
	require.NoError(t, exec.Command("cp", "-a", one, two).Run())
	a, err := cgroup.ID(one)
	require.NoError(t, err)
	b, err := cgroup.ID(two)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	require.NoError(t, os.Rename(one, filepath.Join(dir, "moved")))
	c, err := cgroup.ID(filepath.Join(dir, "moved"))
	require.NoError(t, err)
	require.Equal(t, a, c)
}
