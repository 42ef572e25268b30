//go:build unix

package native_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	_ "github.com/baetyl/baetyl/master/engine/native/launch/early" // this program is the shim of its tests
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// programs of the suite as scripts.
var programs = map[enginetest.Program]string{
	enginetest.Runs:        "echo up; exec sleep 1000",
	enginetest.Succeeds:    "exit 0",
	enginetest.Fails:       "echo boom >&2; exit 3",
	enginetest.IgnoresTerm: "trap '' TERM; echo up; while :; do sleep 0.05; done",
	enginetest.Leaves:      "(trap '' TERM; sleep 1000) & echo up; exit 0",
	enginetest.PrintsToken: "echo BAETYL_SERVICE_TOKEN=$BAETYL_SERVICE_TOKEN; echo X=$X; exec sleep 1000",
}

// TestMain lets this program be the shim of the engine that it tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == launch.Arg {
		launch.Main()
	}
	os.Exit(m.Run())
}

// host is a working directory of a master with an engine.
type host struct {
	*native.Engine
	dir  string
	opts native.Options
	next func() *keeper.Client // connects the next master
}

// newHost returns a host whose engine has what change leaves in its options: by default cgroups and no users.
func newHost(t *testing.T, change ...func(*native.Options)) *host {
	dir, err := os.MkdirTemp("", "native") // t.TempDir is 0700 above
	require.NoError(t, err)
	dir, err = filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	client, next := keepertest.Open(t)
	h := &host{dir: dir, next: next}
	h.opts = native.Options{Workdir: dir, Keeper: client, Parent: os.Getpid(), Log: log.Discard()}
	if id, err := cgroup.ID(dir); err == nil {
		h.opts.Cgroups, _ = cgroup.Find(id) // what the tests need is checked there
	}
	for _, c := range change {
		c(&h.opts)
	}
	h.Engine = native.New(h.opts)
	t.Cleanup(func() { // what a failing test leaves
		if h.opts.Cgroups == nil {
			return
		}
		for _, g := range h.opts.Cgroups.Left() {
			_ = g.Kill(context.Background())
			_ = g.Remove()
		}
		_ = h.opts.Cgroups.Close()
	})
	return h
}

// successor lets another master take over, as after a crash of the first one.
func (h *host) successor(t *testing.T) {
	t.Helper()
	client := h.next()
	state, err := client.Hello(t.Context(), keeper.Hello{Protocol: keeper.Protocol})
	require.NoError(t, err)
	h.opts.Keeper, h.opts.Held = client, state.Processes
	h.Engine = native.New(h.opts)
}

// withUsers opens users of a range that no test of another package has. They are recorded in a folder of the test.
func withUsers(t *testing.T) func(*native.Options) {
	return func(o *native.Options) {
		numbers, err := engine.ParseUsers("75000-79999")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(o.Workdir, "var/db/baetyl"), 0o755))
		u := user.Options{Workdir: o.Workdir, Users: numbers, HostDir: t.TempDir(), Log: log.Discard()}
		o.Users = func() (*user.Registry, error) { return user.Open(u) }
	}
}

func withCgroups(*native.Options) {}
func noCgroups(o *native.Options) { o.Cgroups = nil }

func (h *host) path(rel string) string { return filepath.Join(h.dir, rel) }

// private is the folder of the first instance of a service.
func (h *host) private(service string) string {
	return h.path(filepath.Join("var/run/baetyl/instances", service, service))
}

func (h *host) write(t *testing.T, rel, content string, mode os.FileMode) {
	require.NoError(t, os.MkdirAll(filepath.Dir(h.path(rel)), 0o755))
	require.NoError(t, os.WriteFile(h.path(rel), []byte(content), mode))
}

// service returns a service whose package runs script.
func (h *host) service(t *testing.T, name, script string) engine.Service {
	h.write(t, "var/db/baetyl/pkg-"+name+"/package.yml", "entry: bin/run\n", 0o644)
	h.write(t, "var/db/baetyl/pkg-"+name+"/bin/run", "#!/bin/sh\n"+script+"\n", 0o755)
	s := engine.Service{Service: app.Service{Name: name, Image: "pkg"}, Volumes: map[string]app.Volume{}}
	return with(s, "pkg", "var/db/baetyl/pkg-"+name, "lib/baetyl/pkg", true)
}

// with adds a mount of a volume.
func with(s engine.Service, volume, path, target string, readonly bool) engine.Service {
	s.Volumes[volume] = app.Volume{Name: volume, Path: path}
	s.Mounts = append(s.Mounts, app.Mount{Name: volume, Path: target, ReadOnly: readonly})
	return s
}

func (h *host) start(t *testing.T, s engine.Service, env map[string]string) (engine.Sandbox, engine.Instance) {
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: s.Name, Env: env})
	require.NoError(t, err)
	return box, i
}

func kill(i engine.Instance) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	i.Stop(ctx)
}

// alive tells whether a process group has living members.
func alive(group int) bool {
	out, _ := exec.Command("ps", "-e", "-o", "pgid=,stat=").Output()
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			return true
		}
	}
	return false
}

func TestEngine(t *testing.T) {
	t.Run("cgroups", func(t *testing.T) { testEngine(t) })
	t.Run("no cgroups", func(t *testing.T) { testEngine(t, noCgroups) })
}

func testEngine(t *testing.T, change ...func(*native.Options)) {
	hosts := map[*testing.T]*host{}
	enginetest.Run(t, enginetest.Factory{
		New: func(t *testing.T) engine.Engine {
			hosts[t] = newHost(t, change...)
			return later{hosts[t]}
		},
		Service: func(t *testing.T, name string, p enginetest.Program) engine.Service {
			s := hosts[t].service(t, name, programs[p])
			if p == enginetest.CannotRun {
				s.Image = "missing"
			}
			return s
		},
		Alive: func(r engine.Record) bool { return alive(r.Process.ID) },
	})
}

// later reaps as the next master: what one has started itself it does not take for left.
type later struct {
	*host
}

func (l later) Reap(ctx context.Context, records, keep []engine.Record) error {
	for _, r := range records {
		l.opts.Held = append(l.opts.Held, keeper.Process{Handle: r.Handle, PID: r.Process.ID})
	}
	return native.New(l.opts).Reap(ctx, records, keep)
}

func TestServiceDirectory(t *testing.T) {
	h := newHost(t)
	h.write(t, "var/db/baetyl/conf/service.yml", "k: v\n", 0o644)
	h.write(t, "var/db/baetyl/single.txt", "one file", 0o644)
	s := h.service(t, "svc", "pwd; cat etc/baetyl/service.yml etc/single.txt; echo kept > var/log/baetyl/out; exit 0")
	s = with(s, "conf", "var/db/baetyl/conf", "etc/baetyl", true)
	s = with(s, "single", "var/db/baetyl/single.txt", "etc/single.txt", true)
	s = with(s, "log", "var/db/baetyl/new/log", "/var/log/baetyl", false)
	// What an earlier run left has been removed; what it links to has not.
	require.NoError(t, os.MkdirAll(h.path("var/run/baetyl/services/svc/old"), 0o755))
	require.NoError(t, os.Symlink(h.path("var/db/baetyl/conf"), h.path("var/run/baetyl/services/svc/link")))

	require.NoError(t, h.Reap(t.Context(), nil, nil))
	box, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err, i.Output())
	dir := h.path("var/run/baetyl/services/svc")
	require.Equal(t, []string{dir, "k: v", "one file"}, i.Output())
	require.NoDirExists(t, filepath.Join(dir, "old"))
	require.NoError(t, h.Close())
	require.DirExists(t, dir, "a master that leaves touches nothing")
	kill(i)
	require.NoError(t, box.Close())
	require.NoDirExists(t, dir)
	require.FileExists(t, h.path("var/db/baetyl/conf/service.yml"))
	require.FileExists(t, h.path("var/db/baetyl/new/log/out"))
	require.NoError(t, h.Close())
	require.NoDirExists(t, filepath.Dir(dir))
}

// As far as the host allows: as root on Linux with the right to mount.
func TestReadOnly(t *testing.T) {
	if exec.Command("unshare", "-m", "mount", "--bind", "/tmp", "/tmp").Run() != nil {
		t.Skip("this host does not let us mount")
	}
	h := newHost(t)
	h.write(t, "var/db/baetyl/conf/service.yml", "k: v\n", 0o644)
	h.write(t, "var/db/baetyl/both/file", "", 0o644)
	h.write(t, "var/db/baetyl/one", "", 0o644)
	try := func(file string) string {
		return "(echo x > " + file + ") 2>/dev/null && echo wrote " + file + " || echo kept " + file + "\n"
	}
	s := h.service(t, "svc",
		try("etc/baetyl/service.yml")+try("one")+try("lib/baetyl/pkg/new")+try("log/new")+try("both/file"))
	s = with(s, "conf", "var/db/baetyl/conf", "etc/baetyl", true)
	s = with(s, "one", "var/db/baetyl/one", "one", true)
	s = with(s, "log", "var/db/baetyl/log", "log", false)
	s = with(s, "both", "var/db/baetyl/both", "both", true)
	s = with(s, "rw", "var/db/baetyl/both", "rw", false) // writable by the other mount
	_, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.Equal(t, []string{
		"kept etc/baetyl/service.yml", "kept one", "kept lib/baetyl/pkg/new", "wrote log/new", "wrote both/file",
	}, i.Output())
	h.write(t, "var/db/baetyl/conf/service.yml", "the host can write as before\n", 0o644)
	require.NoError(t, os.RemoveAll(h.path("var/db/baetyl/conf")))
}

// A failure of execve is explained in the same way with and without a shim. A failure of the shim itself is returned as
// it is.
func TestWhyAShimCannotStart(t *testing.T) {
	if exec.Command("unshare", "-m", "mount", "--bind", "/tmp", "/tmp").Run() != nil {
		t.Skip("this host does not let us mount")
	}
	h := newHost(t)
	h.write(t, "var/db/baetyl/conf/service.yml", "k: v\n", 0o644)
	s := with(h.service(t, "svc", "exit 0"), "conf", "var/db/baetyl/conf", "etc/baetyl", true)
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close()) }()
	run := "var/db/baetyl/pkg-svc/bin/run"
	for content, want := range map[string]string{
		"#!/missing/python -u\n":          "interpreter /missing/python of run is not installed",
		"\x7fELF is no program, nor text": "exec format error",
	} {
		h.write(t, run, content, 0o755)
		_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.RemoveAll(h.path("var/db/baetyl/conf")))
	_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
	require.ErrorContains(t, err, "var/db/baetyl/conf: no such file or directory")
	require.NotContains(t, err.Error(), "loader")
}

func TestBadMounts(t *testing.T) {
	outside := t.TempDir()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, h *host, s engine.Service) engine.Service
		want    string
	}{
		"a read-only volume is not invented": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			return with(s, "v", "var/db/baetyl/none", "x", true)
		}, "mount x of volume v: %s/var/db/baetyl/none does not exist"},
		"link out of the working directory": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			require.NoError(t, os.Symlink(outside, h.path("var/db/baetyl/out")))
			return with(s, "v", "var/db/baetyl/out", "x", false)
		}, "outside of the working directory"},
		"new folder behind a link that leads out": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			require.NoError(t, os.Symlink(outside, h.path("var/db/baetyl/out")))
			return with(s, "v", "var/db/baetyl/out/new", "x", false)
		}, "outside of the working directory"},
		"dangling link": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			require.NoError(t, os.Symlink(outside+"/none", h.path("var/db/baetyl/out")))
			return with(s, "v", "var/db/baetyl/out/new", "x", false)
		}, "is a link to nothing"},
		"nested mounts": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			return with(with(s, "a", "var/db/baetyl/a", "x", false), "b", "var/db/baetyl/b", "x/y", false)
		}, "mount x/y of volume b lies inside mount x of volume a; native mode cannot nest them"},
		"volume with a driver": {func(t *testing.T, h *host, s engine.Service) engine.Service {
			s = with(s, "v", "", "x", false)
			s.Volumes["v"] = app.Volume{Name: "v", Driver: "nfs"}
			return s
		}, "native mode has no volume drivers"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := c.prepare(t, h, h.service(t, "svc", "exit 0"))
			want := c.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, h.dir)
			}
			_, err := h.Open(t.Context(), s)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, h.Prepare(t.Context(), s), want)
			entries, err := os.ReadDir(outside)
			require.NoError(t, err)
			require.Empty(t, entries, "nothing is written outside")
		})
	}
}

// The data folder may be a link to another place.
func TestDataFolderMayBeALink(t *testing.T) {
	h := newHost(t)
	require.NoError(t, os.MkdirAll(h.path("var/db"), 0o755))
	require.NoError(t, os.Symlink(t.TempDir(), h.path("var/db/baetyl")))
	_, i := h.start(t, h.service(t, "svc", "exit 0"), nil)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err)
}

func TestSocketIsLinked(t *testing.T) {
	h := newHost(t, func(o *native.Options) { o.Socket = "/run/some.sock" })
	require.Equal(t, "unix://var/run/baetyl.sock", h.Address("unix:///run/some.sock"))
	require.Equal(t, "tcp://127.0.0.1:50050", h.Address("tcp://127.0.0.1:50050"))
	_, i := h.start(t, h.service(t, "svc", "readlink var/run/baetyl.sock"), nil)
	enginetest.Ended(t, i)
	require.Equal(t, []string{"/run/some.sock"}, i.Output())

	s := with(h.service(t, "svc2", "exit 0"), "v", "var/db/baetyl/v", "var", false)
	_, err := h.Open(t.Context(), s)
	require.ErrorContains(t, err, "socket of the API lies inside mount var of volume v")
}

func TestPackages(t *testing.T) {
	const dir = "var/db/baetyl/pkg-svc/"
	for name, c := range map[string]struct {
		change func(t *testing.T, h *host, s *engine.Service)
		want   string
	}{
		"missing": {func(t *testing.T, h *host, s *engine.Service) { s.Image = "hub.baidubce.com/baetyl/cmd:0.1.2" },
			"open lib/baetyl/hub.baidubce.com/baetyl/cmd/0.1.2/package.yml: no such file or directory; mount the volume"},
		"image that leaves": {func(t *testing.T, h *host, s *engine.Service) { s.Image = "../../x" }, "image: path"},
		"no entry": {func(t *testing.T, h *host, s *engine.Service) { h.write(t, dir+"package.yml", "", 0o644) },
			"lib/baetyl/pkg/package.yml: entry: must not be empty"},
		"unknown key": {func(t *testing.T, h *host, s *engine.Service) { h.write(t, dir+"package.yml", "entri: x\n", 0o644) },
			`lib/baetyl/pkg/package.yml: entri: unknown key; did you mean "entry"?`},
		"entry that leaves": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"package.yml", "entry: ../../../bin/sh\n", 0o644)
		}, "'..' is not allowed"},
		"entry is a link out": {func(t *testing.T, h *host, s *engine.Service) {
			require.NoError(t, os.Remove(h.path(dir+"bin/run")))
			require.NoError(t, os.Symlink("/bin/sh", h.path(dir+"bin/run")))
		}, "leads out of the package"},
		"entry is missing": {func(t *testing.T, h *host, s *engine.Service) {
			require.NoError(t, os.Remove(h.path(dir+"bin/run")))
		}, "bin/run is not in the package"},
		"entry is a folder": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"package.yml", "entry: bin\n", 0o644)
		}, "bin is not a file"},
		"missing interpreter": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"bin/run", "#!/usr/bin/python2.7.missing -u\n", 0o755)
		}, "interpreter /usr/bin/python2.7.missing of run is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := h.service(t, "svc", "exit 0")
			c.change(t, h, &s)
			box, err := h.Open(t.Context(), s)
			require.NoError(t, err)
			_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
			require.ErrorContains(t, err, c.want)
			require.NoError(t, box.Close())
		})
	}
}

// An archive without modes gives a program that is not executable; it becomes executable, and only its owner can write
// it.
func TestEntryBecomesExecutable(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "exit 0")
	entry := h.path("var/db/baetyl/pkg-svc/bin/run")
	require.NoError(t, os.Chmod(entry, 0o644))
	_, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err)
	info, err := os.Stat(entry)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
}

func TestEnvironment(t *testing.T) {
	t.Setenv("MASTER_SECRET", "s")
	t.Setenv("LC_ALL", "C")
	t.Setenv("https_proxy", "http://proxy:1")
	h := newHost(t)
	_, i := h.start(t, h.service(t, "svc", "env; echo args $0 $1 $2"),
		map[string]string{"PATH": "/bin:/usr/bin", "X": "y"})
	enginetest.Ended(t, i)
	out := i.Output()
	require.Contains(t, out, "PATH=/bin:/usr/bin")
	require.Contains(t, out, "X=y")
	require.Contains(t, out, "LC_ALL=C")
	require.Contains(t, out, "https_proxy=http://proxy:1")
	require.NotContains(t, strings.Join(out, "\n"), "MASTER_SECRET")
}

func TestOutputGoesToTheFileOfTheService(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", `head -c 100000 /dev/zero | tr '\0' x; echo; printf 'no line end'; echo err >&2`)
	box, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.NoError(t, box.Close())
	data, err := os.ReadFile(h.path("var/log/baetyl/services/svc.log"))
	require.NoError(t, err)
	require.True(t, 100000 == strings.Count(string(data), "x"), "a long line is cut into several, none of it is lost")
	for _, want := range []string{`stdout: x+`, `stdout: no line end`, `stderr: err`} {
		require.True(t, regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\S+ \[svc\] `+want+`$`).Match(data), want)
	}
}

// A process that left the group and holds the pipe does not hold up its instance.
func TestEscapedProcessDoesNotBlock(t *testing.T) {
	h := newHost(t)
	_, i := h.start(t, h.service(t, "svc", "setsid sleep 1000 & echo $!; exit 0"), nil)
	enginetest.Ended(t, i)
	pid, err := strconv.Atoi(i.Output()[0])
	require.NoError(t, err)
	_ = syscall.Kill(pid, syscall.SIGKILL) // of setsid, or of the sleep that it became
}

func TestStopReachesTheWholeGroupAndLetsItFinish(t *testing.T) {
	h := newHost(t)
	// The leader ends at once; its child takes a moment to clean up and must get it.
	script := `(trap 'sleep 0.3; echo clean > var/log/baetyl/done; exit 0' TERM; echo up; while :; do sleep 0.02; done) &
wait`
	s := with(h.service(t, "svc", script), "log", "var/db/baetyl/log", "var/log/baetyl", false)
	_, i := h.start(t, s, nil)
	enginetest.Output(t, i, "up")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	i.Stop(ctx)
	require.NoError(t, ctx.Err())
	require.FileExists(t, h.path("var/db/baetyl/log/done"))
	require.False(t, alive(i.Record().Process.ID))
}

func TestExitErrorNamesTheSignal(t *testing.T) {
	h := newHost(t)
	_, i := h.start(t, h.service(t, "svc", "echo up; exec sleep 1000"), nil)
	enginetest.Output(t, i, "up")
	kill(i)
	require.ErrorContains(t, i.Exit().Err, "signal: ")
}
