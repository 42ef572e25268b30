//go:build linux

package native_test

import (
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/protocol/app"
)

// limited is a host that can limit memory and processes.
func limited(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	r := app.Resources{Memory: app.Memory{Limit: 1 << 25}, Pids: app.Pids{Limit: 10}}
	if h.opts.Cgroups == nil || len(h.opts.Cgroups.Problems(r)) > 0 {
		t.Skip("this host does not let us limit memory and processes")
	}
	return h
}

func TestOutOfMemory(t *testing.T) {
	const eats = "tail </dev/zero >/dev/null"
	t.Run("the leader", func(t *testing.T) {
		h := limited(t)
		s := h.service(t, "svc", "exec "+eats)
		s.Resources.Memory.Limit = 32 << 20
		_, i := h.start(t, s, nil)
		enginetest.Ended(t, i)
		require.EqualError(t, i.Exit().Err,
			"process exit code: killed by the kernel: out of memory (OOM), see resources.memory.limit")
		require.NotContains(t, strings.Join(i.Warnings(), "\n"), "OOM", "the error says it")
		kill(i)
	})
	t.Run("a child", func(t *testing.T) {
		h := limited(t)
		s := h.service(t, "svc", "("+eats+"); echo survived; exec sleep 1000")
		s.Resources.Memory.Limit = 32 << 20
		_, i := h.start(t, s, nil)
		enginetest.Output(t, i, "survived")
		require.Contains(t, strings.Join(i.Warnings(), "\n"),
			"killed by the kernel: out of memory (OOM), see resources.memory.limit")
		kill(i)
	})
}

// A bomb of forks stays in its limit, and nothing of it is left.
func TestForkBomb(t *testing.T) {
	h := limited(t)
	s := h.service(t, "svc", `f() { f & f & sleep 1000; }; echo up; f 2>/dev/null; exec sleep 1000`)
	s.Resources.Pids.Limit = 40
	_, i := h.start(t, s, nil)
	enginetest.Output(t, i, "up")
	kill(i)
	require.False(t, aliveIn(h.path("var/run/baetyl/services/svc")))
	require.Empty(t, h.opts.Cgroups.Left())
}

// A service with a user of its own that names no limit of processes has one; unlimited is what it is for others.
func TestDefaultLimitOfProcesses(t *testing.T) {
	limited(t) // skips where there is none
	const script = "cat /sys/fs/cgroup/pids$(grep :pids: /proc/self/cgroup | cut -d: -f3)/pids.max " +
		"/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/pids.max 2>/dev/null | head -1"
	h := ownHost(t)
	s := h.service(t, "svc", script)
	require.Equal(t, []string{"4096"}, h.once(t, s))
	s.Resources.Pids.Limit = 10000
	require.Equal(t, []string{"10000"}, h.once(t, s))
	s.Resources.Pids.Limit, s.User = 0, "root"
	require.Equal(t, []string{"max"}, h.once(t, s))
}

// What a configuration asks for and this host does not give stands in inspect and in check.
func TestWhatIsMissingIsNamed(t *testing.T) {
	h := newHost(t, noCgroups, func(o *native.Options) {
		o.NoUsers, o.NoCgroups = "the master does not run as root", "none are mounted"
	})
	s := h.service(t, "svc", "exit 0")
	s.Resources.Memory.Limit, s.Resources.CPU.Cpus = 1<<25, 0.5
	_, i := h.start(t, s, nil)
	text := strings.Join(i.Warnings(), "\n")
	for _, want := range []string{
		"resources.memory.limit does not hold: none are mounted", "resources.cpu.cpus does not hold: none are mounted",
		"services run as the user of the master: the master does not run as root",
		"processes that leave the process group of their service are not stopped: none are mounted",
	} {
		require.Contains(t, text, want)
	}
	enginetest.Ended(t, i)
	kill(i)
	advice := strings.Join(native.Advice(h.opts, []app.Service{s.Service}), "\n")
	require.Contains(t, advice, "service svc: resources.memory.limit does not hold: none are mounted")
	require.Contains(t, advice, "services run as the user of the master: the master does not run as root")
}

// A key that only containers have is no error, and `check` says that it means nothing.
func TestKeysOfContainers(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "exit 0").Service
	yes := true
	s.Container = app.Container{
		Init: true, CapAdd: []string{"CHOWN"}, CapDrop: []string{"ALL"}, Privileged: true, Hardened: &yes, ReadOnly: &yes,
		Tmpfs: app.Texts{"/x"}, ExtraHosts: app.Hosts{"a:1.2.3.4"}, DNS: app.Texts{"1.2.3.4"}, Log: &app.Log{},
		Healthcheck: &app.Healthcheck{},
	}
	keys := s.ContainerKeys()
	require.Equal(t, reflect.TypeFor[app.Container]().NumField(), len(keys))
	advice := strings.Join(native.Advice(h.opts, []app.Service{s}), "\n")
	for _, key := range keys {
		require.Regexp(t, "service svc: "+key+" means nothing in native mode: .+", advice)
	}
	s.Container = app.Container{}
	require.NotContains(t, strings.Join(native.Advice(h.opts, []app.Service{s}), "\n"), "means nothing")
}

// Limits within which nothing can start are no error: they hold, and `check` says what is going to happen.
func TestLimitsTooSmallToStart(t *testing.T) {
	h := newHost(t, func(o *native.Options) {
		if o.Cgroups == nil {
			t.Skip("no cgroups: ", o.NoCgroups)
		}
	})
	s := h.service(t, "svc", "exit 0").Service
	s.Resources.Memory.Limit, s.Resources.Pids.Limit = 4<<20, 4
	advice := strings.Join(native.Advice(h.opts, []app.Service{s}), "\n")
	require.Contains(t, advice, "service svc: resources.memory.limit is too small to start a process: 4m is less than 8m")
	require.Contains(t, advice, "service svc: resources.pids.limit is too small to start a process: 4 is less than 8")
	s.Resources.Memory.Limit, s.Resources.Pids.Limit = 8<<20, 8
	require.NotContains(t, strings.Join(native.Advice(h.opts, []app.Service{s}), "\n"), "too small")
}

// As a plain user everything works that worked before: this test runs others as one.
func TestAsAPlainUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the tests run as one already")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^(TestEngine|TestAdopt|TestReap|TestServiceDirectory|TestPackages)$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS")
}

// One service with two writers: each can change what the other has made; nobody else can read it.
func TestSharedVolume(t *testing.T) {
	h := ownHost(t)
	both := []engine.Member{{Service: "a"}, {Service: "b"}}
	share := func(name, script string) engine.Service {
		s := with(h.service(t, name, script), "data", "var/db/baetyl/data", "data", false)
		s.Uses = map[string]engine.Use{"data": {Writers: both}}
		return s
	}
	h.once(t, share("a", "mkdir data/of-a && echo a >data/of-a/f"))
	require.Equal(t, []string{"a", "b"}, h.once(t, share("b", "echo b >>data/of-a/f && cat data/of-a/f")))
	info, err := os.Stat(h.path("var/db/baetyl/data"))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o007)
}

// A key that only its owner may read, as the agent's, is read by the one service that mounts it.
func TestSecretOfAReadOnlyVolume(t *testing.T) {
	h := ownHost(t)
	h.write(t, "var/db/baetyl/cert/client.key", "key\n", 0o600)
	s := with(h.service(t, "svc", "cat cert/client.key; echo x 2>/dev/null >cert/client.key || echo kept"),
		"cert", "var/db/baetyl/cert", "cert", true)
	require.Equal(t, []string{"key", "kept"}, h.once(t, s))
}
