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
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	_ "github.com/baetyl/baetyl/master/engine/native/launch/early" // this program is the shim of its tests
	"github.com/baetyl/baetyl/protocol/app"
)

// programs of the suite as scripts.
var programs = map[enginetest.Program]string{
	enginetest.Runs:        "echo up; exec sleep 1000",
	enginetest.HasShell:    "echo up; exec sleep 1000",
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
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // by default a shim with the race detector takes a second to end
	os.Exit(m.Run())
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
		Next: func(t *testing.T, e engine.Engine) engine.Engine {
			h, ok := e.(*host)
			if !ok {
				h = e.(later).host
			}
			h.successor(t)
			return h
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

// What a service has in its environment is for its program: what goes before that, with the rights of root, gets none
// of it.
func TestEnvironmentIsOfTheProgram(t *testing.T) {
	h := newHost(t)
	_, i := h.start(t, h.service(t, "svc", "echo $GODEBUG"), map[string]string{"GODEBUG": "inittrace=1"})
	enginetest.Ended(t, i)
	require.Equal(t, []string{"inittrace=1"}, i.Output())
	kill(i)
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
	kill(i)
	require.Equal(t, []string{"/run/some.sock"}, i.Output(), "also when the keeper has forgotten it")

	s := with(h.service(t, "svc2", "exit 0"), "v", "var/db/baetyl/v", "var", false)
	_, err := h.Open(t.Context(), s)
	require.ErrorContains(t, err, "socket of the API lies inside mount var of volume v")
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
	require.Equal(t, 100000, strings.Count(string(data), "x"), "a long line is cut into several, none of it is lost")
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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

// One that hangs is killed without being asked first, also one that has stopped itself.
func TestKill(t *testing.T) {
	for name, script := range map[string]string{
		"ignores": "trap 'echo asked' TERM; echo up; while :; do sleep 0.02; done",
		"stopped": "trap 'echo asked' TERM; echo up; kill -STOP $$; sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			_, i := h.start(t, h.service(t, "svc", script), nil)
			require.Eventually(t, func() bool { return len(i.Output()) > 0 }, time.Minute, 10*time.Millisecond)
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(engine.ErrKill)
			i.Stop(ctx)
			require.Equal(t, []string{"up"}, i.Output())
			require.ErrorContains(t, i.Exit().Err, "killed")
		})
	}
}
