//go:build unix

package native_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// nativeEnv are the variables by which the supervisor tells what an instance is of.
var nativeEnv = map[string]string{
	"BAETYL_SERVICE_NAME": "svc", "BAETYL_SERVICE_INSTANCE_NAME": "svc", "BAETYL_SERVICE_MODE": "native",
}

func TestReap(t *testing.T) {
	running := func(t *testing.T, h *host, script string) engine.Instance {
		_, i := h.start(t, h.service(t, "svc", script), nativeEnv)
		enginetest.Output(t, i, "up")
		return i
	}
	for _, cgroups := range []bool{true, false} {
		change := noCgroups
		if cgroups {
			change = withCgroups
		}
		t.Run("without a record", func(t *testing.T) { // killed between start and writing
			h := newHost(t, change)
			i := running(t, h, "echo up; exec sleep 1000")
			h.successor(t)
			require.NoError(t, h.Reap(t.Context(), nil, nil))
			require.False(t, alive(i.Record().Process.ID))
			require.NoDirExists(t, h.path("var/run/baetyl/services"))
			require.NoDirExists(t, h.path("var/run/baetyl/instances"))
		})
		t.Run("what ignores SIGTERM", func(t *testing.T) {
			h := newHost(t, change)
			i := running(t, h, "trap '' TERM; echo up; while :; do sleep 0.05; done")
			h.successor(t)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			require.NoError(t, h.Reap(ctx, []engine.Record{i.Record()}, nil))
			require.False(t, alive(i.Record().Process.ID))
		})
		t.Run("not what is kept", func(t *testing.T) {
			h := newHost(t, change)
			i := running(t, h, "(exec sleep 1000) & echo up; exec sleep 1000")
			h.successor(t)
			r := i.Record()
			require.NoError(t, h.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
			require.True(t, alive(r.Process.ID))
			require.DirExists(t, h.path("var/run/baetyl/services/svc"))
			require.DirExists(t, h.private("svc"))
		})
	}
}

// left starts a process as a master of the version before did: its own child, in the directory of a service.
func left(t *testing.T, h *host, dir string) (*exec.Cmd, engine.Record) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = dir
	cmd.Env = []string{"PWD=" + dir}
	for k, v := range nativeEnv {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	_, i := h.start(t, h.service(t, "probe", "exec sleep 1000"), nil)
	r := i.Record() // for its boot
	r.Service, r.Instance, r.Handle = "svc", "svc", ""
	r.Process.ID, r.Started = cmd.Process.Pid, startOf(t, cmd.Process.Pid)
	kill(i)
	return cmd, r
}

func startOf(t *testing.T, pid int) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "cut -d' ' -f22 /proc/"+strconv.Itoa(pid)+"/stat").Output()
	require.NoError(t, err)
	return string(out[:len(out)-1])
}

// A master of the version before held its services itself, and recorded pid, start time and boot.
func TestReapOfAVersionWithoutKeeper(t *testing.T) {
	h := newHost(t)
	cmd, r := left(t, h, h.path("var/run/baetyl/services/svc"))
	require.NoError(t, h.Reap(t.Context(), []engine.Record{r}, nil))
	require.False(t, alive(cmd.Process.Pid))
}

// Strangers are never signalled: a pid that was used again, another boot, the original of a copied installation.
func TestReapOfStrangers(t *testing.T) {
	h := newHost(t)
	original := newHost(t)
	cmd, r := left(t, h, original.path("var/run/baetyl/services/svc"))
	copied := r // as cp -a of a running installation has it
	again, earlier := r, r
	again.Started = "1"
	earlier.Boot = "another boot"
	held := r
	held.Handle = "of the original's keeper"
	require.NoError(t, os.MkdirAll(h.path("var/run/baetyl/services/svc"), 0o755))
	require.NoError(t, h.Reap(t.Context(), []engine.Record{copied, again, earlier, held}, nil))
	require.True(t, alive(cmd.Process.Pid))
}

func TestAdopt(t *testing.T) {
	h := newHost(t)
	s := with(h.service(t, "svc", `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done`),
		"log", "var/db/baetyl/log", "var/log", false)
	_, i := h.start(t, s, nativeEnv)
	enginetest.Output(t, i, "up")
	before := i.Record()

	h.successor(t)
	require.NoError(t, h.Reap(t.Context(), []engine.Record{before}, []engine.Record{before}))
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	only := engine.Record{Engine: before.Engine, Service: "svc", Instance: "svc", Handle: before.Handle}
	spec := engine.Spec{Name: "svc", Handle: before.Handle}
	i, err = box.Adopt(t.Context(), spec, only) // what a master has that ended during the start
	require.NoError(t, err)
	require.Equal(t, before, i.Record())
	enginetest.Output(t, i, "up")
	_, mem := i.Stats(t.Context())
	require.Positive(t, mem.Used)
	_, err = box.Adopt(t.Context(), spec, before)
	require.ErrorIs(t, err, engine.ErrGone, "it is adopted once")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	i.Stop(ctx)
	require.NoError(t, i.Exit().Err)
	require.NoDirExists(t, h.private("svc"))
	require.NoError(t, box.Close())
}

// What ended while there was no master is told with its status and its output.
func TestAdoptWhatHasEnded(t *testing.T) {
	h := newHost(t)
	script := `while [ ! -e "$BAETYL_SERVICE_RUN_DIR/go" ]; do sleep 0.02; done; echo last words; exit 7`
	s := h.service(t, "svc", script)
	_, i := h.start(t, s, nativeEnv)
	before := i.Record()
	h.successor(t)
	require.NoError(t, os.WriteFile(h.private("svc")+"/go", nil, 0o644))
	require.Eventually(t, func() bool { return !alive(before.Process.ID) }, time.Minute, 10*time.Millisecond)
	h.successor(t)
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	i, err = box.Adopt(t.Context(), engine.Spec{Name: "svc"}, before)
	require.NoError(t, err)
	enginetest.Ended(t, i)
	require.ErrorContains(t, i.Exit().Err, "exit status 7")
	require.Equal(t, []string{"last words"}, i.Output())
	kill(i)
	h.successor(t)
	box, err = h.Open(t.Context(), s)
	require.NoError(t, err)
	_, err = box.Adopt(t.Context(), engine.Spec{Name: "svc"}, before)
	require.ErrorIs(t, err, engine.ErrGone, "Stop forgets it")
}
