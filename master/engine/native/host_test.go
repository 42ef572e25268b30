//go:build unix

package native_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/master/engine/native/cgroup"
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

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
	h.opts.Keeper, h.opts.Held, h.opts.Kept = client, state.Processes, state.Kept
	native.Gone(h.Engine)
	h.Engine = native.New(h.opts)
}

// withUsers opens users of a range that no test of another package has. They are recorded in a folder of the test.
func withUsers(t *testing.T) func(*native.Options) { return withUsersAnd(t, "") }

// withUsersAnd is withUsers on a host that has a group of persons.
func withUsersAnd(t *testing.T, persons string) func(*native.Options) {
	return func(o *native.Options) {
		numbers, err := engine.ParseUsers("75000-79999")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(o.Workdir, "var/db/baetyl"), 0o755))
		u := user.Options{Workdir: o.Workdir, Users: numbers, HostDir: t.TempDir(), Admins: persons, Log: log.Discard()}
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

// alive tells whether a process group has living members. A ps that cannot run says nothing of them.
func alive(group int) bool {
	if err := syscall.Kill(-group, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-e", "-o", "pgid=,stat=").CombinedOutput()
	if err != nil { // as when the user of the tests may have no more processes
		panic(fmt.Sprintf("ask ps for the members of group %d: %v: %s", group, err, out))
	}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			return true
		}
	}
	return false
}
