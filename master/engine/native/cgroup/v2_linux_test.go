package cgroup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/protocol/app"
)

// fake is a host with cgroup v2 in files: it does not limit, and shows what would be written.
type fake struct {
	t      *testing.T
	root   string // of the hierarchy
	proc   string
	writes []string
	refuse map[string]error // by the name of a file
}

func newFake(t *testing.T, own string, dirs ...string) *fake {
	f := &fake{t: t, root: t.TempDir(), proc: t.TempDir(), refuse: map[string]error{}}
	f.file(f.proc, "self/mountinfo", "31 23 0:28 / "+f.root+" rw,nosuid - cgroup2 cgroup2 rw\n")
	f.file(f.proc, "self/cgroup", "0::"+own+"\n")
	f.file(f.root, "cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n")
	for _, d := range dirs {
		f.file(f.root, d+"/cgroup.controllers", "cpuset cpu io memory pids\n")
		f.file(f.root, d+"/cgroup.type", "domain\n")
		f.file(f.root, d+"/cgroup.procs", "")
	}
	return f
}

func (f *fake) file(root, name, text string) {
	path := filepath.Join(root, name)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(f.t, os.WriteFile(path, []byte(text), 0o600))
}

// write does what the kernel does with the files that are read again.
func (f *fake) write(path, text string) error {
	name := strings.TrimPrefix(path, f.root)
	if err := f.refuse[filepath.Base(name)]; err != nil {
		return err
	}
	f.writes = append(f.writes, name+" = "+text)
	if filepath.Base(path) == "cgroup.subtree_control" {
		old, _ := os.ReadFile(path)
		text = string(old) + strings.TrimPrefix(text, "+") + " "
	}
	if filepath.Base(path) == "cgroup.procs" { // a process that is moved leaves where it was
		f.file(filepath.Dir(filepath.Dir(path)), "cgroup.procs", "")
	}
	f.file(filepath.Dir(path), filepath.Base(path), text)
	return nil
}

func (f *fake) find() (*cgroup.Tree, error) {
	return cgroup.Host{Proc: f.proc, Write: f.write}.Find("0a1b")
}

var full = app.Resources{
	CPU:    app.CPU{Cpus: 1.5, SetCPUs: "0-2"},
	Memory: app.Memory{Limit: 64 << 20, Swap: 96 << 20},
	Pids:   app.Pids{Limit: 10},
}

const limitsOf = `G/cpu.max = 150000 100000
G/cpuset.cpus = 0-2
G/memory.max = 67108864
G/memory.swap.max = 33554432
G/pids.max = 10`

func want(text string, more ...string) []string {
	for i := 0; i < len(more); i += 2 {
		text = strings.ReplaceAll(text, more[i], more[i+1])
	}
	return strings.Split(text, "\n")
}

func TestDelegatedUnit(t *testing.T) {
	const name = "system.slice/baetyl.service"
	f := newFake(t, "/"+name+"/baetyl", name+"/baetyl", name)
	unit := filepath.Join(f.root, name)
	require.NoError(t, unix.Setxattr(unit, "user.delegate", []byte("1"), 0))
	f.file(unit, "cgroup.procs", "41\n")
	tr, err := f.find()
	require.NoError(t, err)
	require.Empty(t, f.writes, "looking changes nothing")
	require.Empty(t, tr.Problems(full))
	g, warnings, err := tr.Make("hub", "hub.i1", full)
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, unit+"/baetyl.0a1b/hub@hub.i1", g.V2())
	require.Empty(t, g.V1())
	require.Equal(t, want(`U/baetyl/cgroup.procs = 41
U/cgroup.subtree_control = +cpuset
U/cgroup.subtree_control = +cpu
U/cgroup.subtree_control = +memory
U/cgroup.subtree_control = +pids
U/baetyl.0a1b/cgroup.subtree_control = +cpuset
U/baetyl.0a1b/cgroup.subtree_control = +cpu
U/baetyl.0a1b/cgroup.subtree_control = +memory
U/baetyl.0a1b/cgroup.subtree_control = +pids
`+limitsOf, "G/", "U/baetyl.0a1b/hub@hub.i1/", "U/", "/system.slice/baetyl.service/"), f.writes)

	f.writes = nil
	_, _, err = tr.Make("a", "a", app.Resources{Memory: app.Memory{Limit: 1 << 20}})
	require.NoError(t, err)
	require.Equal(t, want("G/memory.max = 1048576\nG/memory.swap.max = 1048576", "G/",
		"/system.slice/baetyl.service/baetyl.0a1b/a@a/"), f.writes, "as much swap as memory, as docker")
}

// As root without systemd, or in a shell, groups are made at the top, which may hold processes.
func TestTop(t *testing.T) {
	f := newFake(t, "/user.slice/user-1000.slice/session-1.scope", "user.slice/user-1000.slice/session-1.scope")
	f.file(f.root, "cgroup.procs", "1\n2\n")
	tr, err := f.find()
	require.NoError(t, err)
	g, _, err := tr.Make("hub", "hub", app.Resources{})
	require.NoError(t, err)
	require.Equal(t, f.root+"/baetyl.0a1b/hub@hub", g.V2())
	require.NotContains(t, strings.Join(f.writes, "\n"), "cgroup.procs")
}

// What is delegated to the systemd of a user is not ours; a unit of that systemd may be.
func TestUnitOfUser(t *testing.T) {
	const unit = "user.slice/user@1000.service/app.slice/x.scope"
	f := newFake(t, "/"+unit, unit)
	require.NoError(t, unix.Setxattr(f.root+"/user.slice/user@1000.service", "user.delegate", []byte("1"), 0))
	tr, err := f.find()
	require.NoError(t, err)
	g, _, err := tr.Make("a", "a", app.Resources{})
	require.NoError(t, err)
	require.Equal(t, f.root+"/baetyl.0a1b/a@a", g.V2())

	require.NoError(t, unix.Setxattr(filepath.Join(f.root, unit), "user.delegate", []byte("1"), 0))
	tr, err = f.find()
	require.NoError(t, err)
	require.Len(t, tr.Left(), 1, "of the other place")
	g, _, err = tr.Make("a", "a", app.Resources{})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(f.root, unit, "baetyl.0a1b/a@a"), g.V2())
}

// In a container that sees its own group as the top, what runs there has to move too.
func TestContainer(t *testing.T) {
	f := newFake(t, "/")
	f.file(f.root, "cgroup.type", "domain\n")
	f.file(f.root, "cgroup.procs", "1\n0\n")
	tr, err := f.find()
	require.NoError(t, err)
	_, _, err = tr.Make("a", "a", app.Resources{})
	require.NoError(t, err)
	require.Equal(t, "/baetyl/cgroup.procs = 1", f.writes[0])
}

// What a host can't do is named, with the remedy.
func TestMissingControllers(t *testing.T) {
	f := newFake(t, "/")
	f.file(f.root, "cgroup.controllers", "cpu pids\n")
	tr, err := f.find()
	require.NoError(t, err)
	problems := tr.Problems(full)
	require.Len(t, problems, 2)
	require.Equal(t, "resources.cpu.setcpus does not hold: this host has no cgroup controller cpuset", problems[0])
	require.Contains(t, problems[1], "resources.memory.limit does not hold: this host has no cgroup controller memory")
	require.Contains(t, problems[1], "cgroup_enable=memory")
	_, warnings, err := tr.Make("a", "a", full)
	require.NoError(t, err)
	require.Equal(t, problems, warnings)
}

func TestLimitsThatFail(t *testing.T) {
	f := newFake(t, "/")
	f.refuse["memory.swap.max"] = os.ErrNotExist
	f.refuse["pids.max"] = unix.EINVAL
	tr, err := f.find()
	require.NoError(t, err)
	_, warnings, err := tr.Make("a", "a", full)
	require.NoError(t, err)
	require.Equal(t, []string{
		"resources.memory.swap does not hold: this kernel does not count swap; " +
			"add swapaccount=1 to its command line and reboot",
		"resources.pids.limit does not hold: invalid argument",
	}, warnings)
	_, warnings, err = tr.Make("b", "b", app.Resources{Memory: app.Memory{Limit: 1 << 20}})
	require.NoError(t, err)
	require.Empty(t, warnings, "nobody has asked for a limit of swap")
	for _, m := range []app.Memory{{Swap: 1 << 20}, {Limit: 2 << 20, Swap: 1 << 20}} {
		require.Len(t, tr.Problems(app.Resources{Memory: m}), 1)
	}
	f.refuse["cgroup.subtree_control"] = unix.EBUSY
	tr, err = f.find()
	require.NoError(t, err)
	f.file(f.root, "baetyl.0a1b/cgroup.subtree_control", "cpu\n")
	_, warnings, err = tr.Make("c", "c", full)
	require.NoError(t, err)
	require.Len(t, warnings, 3, "only cpu was given")
}

// Numbers of v2, as the kernel writes them.
func TestStatsOfV2(t *testing.T) {
	f := newFake(t, "/")
	tr, err := f.find()
	require.NoError(t, err)
	g, _, err := tr.Make("a", "a", app.Resources{})
	require.NoError(t, err)
	for name, text := range map[string]string{
		"cpu.stat": "usage_usec 1500\nuser_usec 1000\n", "memory.current": "1000\n", "memory.max": "max\n",
		"memory.stat": "anon 1\ninactive_file 400\n", "memory.swap.current": "7\n", "pids.current": "3\n",
		"memory.events": "low 0\noom 5\noom_kill 2\n", "cgroup.events": "populated 1\nfrozen 0\n",
	} {
		f.file(g.V2(), name, text)
	}
	s := g.Stats()
	require.Equal(t, cgroup.Stats{CPU: 1500e3, Memory: 600, Swap: 7, PIDs: 3}, s)
	require.Equal(t, 2, g.OOM())
	require.True(t, g.Populated())
}

// The real v2 of this machine alone, by cgroup.kill and, as on older kernels, without.
func TestRealV2(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	var line string
	for l := range strings.Lines(string(mounts)) {
		if strings.Contains(l, " - cgroup2 ") {
			line = l
		}
	}
	if line == "" || os.Getuid() != 0 {
		t.Skip("needs root and a mounted cgroup2")
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	for _, refuse := range []string{"none", "cgroup.kill"} {
		t.Run(refuse, func(t *testing.T) {
			f := &fake{t: t, proc: t.TempDir()}
			f.file(f.proc, "self/mountinfo", line)
			f.file(f.proc, "self/cgroup", string(own))
			write := func(path, text string) error {
				if filepath.Base(path) == refuse {
					return os.ErrNotExist
				}
				return os.WriteFile(path, []byte(text), 0)
			}
			tr, err := cgroup.Host{Proc: f.proc, Write: write}.Find(freshID())
			require.NoError(t, err)
			g, _, err := tr.Make("a", "a", app.Resources{})
			require.NoError(t, err)
			require.Empty(t, g.V1())
			run(t, g, "trap '' TERM; setsid sleep 1000 & while :; do sleep 0.01 & sleep 0.01; done")
			eventually(t, "it runs", func() bool { return g.Stats().PIDs >= 3 })
			require.Positive(t, g.Stats().CPU)
			require.NoError(t, os.Mkdir(g.V2()+"/own", 0o755), "a group in it")
			require.NoError(t, g.Kill(deadline(t)))
			require.NoError(t, g.Remove())
			require.NoError(t, tr.Close())
		})
	}
}

func TestNoGroups(t *testing.T) {
	f := newFake(t, "/")
	f.file(f.proc, "self/mountinfo", "1 1 0:1 / /proc rw - proc proc rw\n")
	_, err := f.find()
	require.EqualError(t, err, "find cgroups: none are mounted")
	f.file(f.proc, "self/mountinfo", fmt.Sprintf("1 1 0:1 / %s rw - cgroup2 cgroup2 rw\n", f.root+"/gone"))
	_, err = f.find()
	require.ErrorContains(t, err, "find cgroups: ")
	one := fmt.Sprintf("1 1 0:1 / %s rw - cgroup2 cgroup2 rw\n", f.root+"/gone")
	f.file(f.proc, "self/mountinfo", one+one)
	_, err = f.find()
	require.NotContains(t, err.Error(), "\n", "one line for people, however many there are")
}
