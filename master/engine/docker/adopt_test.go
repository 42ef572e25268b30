//go:build linux

package docker_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/file"
)

// envMaster names the working directory of TestMasterProcess.
const envMaster = "BAETYL_TEST_MASTER_DIR"

const flood = 8000 // lines: four seconds

func flooding() engine.Service { return service("t-flood", "flood", strconv.Itoa(flood)) }

// TestMasterProcess is the master that TestOutputOverKills kills: it starts the service, or adopts it, and waits.
func TestMasterProcess(t *testing.T) {
	dir := os.Getenv(envMaster)
	if dir == "" {
		return
	}
	api, err := daemon()
	require.NoError(t, err)
	_, _ = adoptOrStart(t, newMaster(t, api, dir), filepath.Join(dir, "record.json"))
	time.Sleep(time.Hour) // until it is killed
}

func adoptOrStart(t *testing.T, b *bench, path string) (engine.Instance, engine.Sandbox) {
	spec := engine.Spec{Name: "t-flood", Handle: "flood"}
	r := engine.Record{Engine: "docker", Service: "t-flood", Instance: "t-flood", Handle: "flood"}
	data, err := os.ReadFile(path)
	if err == nil {
		require.NoError(t, json.Unmarshal(data, &r))
	}
	require.NoError(t, b.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
	box, err2 := b.Open(t.Context(), flooding())
	require.NoError(t, err2)
	var i engine.Instance
	if err == nil {
		i, err = box.Adopt(t.Context(), spec, r)
	} else {
		i, err = box.Start(t.Context(), spec)
	}
	require.NoError(t, err)
	data, err = json.Marshal(i.Record())
	require.NoError(t, err)
	require.NoError(t, file.WriteAtomic(path, data, 0o600))
	return i, box
}

// 2,000 lines a second while masters are killed with SIGKILL and none runs for a while: each line is in the file, once,
// in order, and the exit is known afterwards.
func TestOutputOverKills(t *testing.T) {
	b := newBench(t)
	log := filepath.Join(b.dir, "var/log/baetyl/services/t-flood.log")
	lines := func() int {
		data, _ := os.ReadFile(log)
		return strings.Count(string(data), ".\n")
	}
	last, began := 0, time.Now()
	for range 6 {
		master := exec.Command(os.Args[0], "-test.run=^TestMasterProcess$")
		master.Env = append(os.Environ(), envMaster+"="+b.dir)
		require.NoError(t, master.Start())
		require.Eventually(t, func() bool { return lines() > last+300 || lines() == flood }, time.Minute,
			time.Millisecond, "the output does not go on")
		require.NoError(t, master.Process.Kill())
		_ = master.Wait()
		last = lines()
	}
	i, box := adoptOrStart(t, newMaster(t, b.api, b.dir), filepath.Join(b.dir, "record.json"))
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err)
	require.Greater(t, i.Exit().Ran, time.Second)
	require.Less(t, i.Exit().Ran, time.Since(began)+time.Second)
	i.Stop(t.Context())
	require.NoError(t, box.Close())
	data, err := os.ReadFile(log)
	require.NoError(t, err)
	got := map[string][]int{}
	for line := range strings.Lines(string(data)) {
		head, text, ok := strings.Cut(line, ": n=")
		if !ok { // half of a line, from a master that was killed while it wrote
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(text, ".\n"))
		if err == nil && strings.HasSuffix(text, ".\n") {
			got[head[strings.LastIndex(head, " ")+1:]] = append(got[head[strings.LastIndex(head, " ")+1:]], n)
		}
	}
	for first, stream := range []string{"stdout", "stderr"} {
		require.Len(t, got[stream], flood/2)
		for k, n := range got[stream] {
			require.Equal(t, 2*k+first, n, stream)
		}
	}
}

// What is not the recorded container is not adopted: one of another definition or image is ended, a stranger's is left.
func TestWhatIsNotAdopted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*engine.Service, *engine.Record)
		runs   bool
	}{
		"another definition": {func(s *engine.Service, _ *engine.Record) { s.Env = map[string]string{"A": "b"} }, false},
		"another image":      {func(_ *engine.Service, r *engine.Record) { r.ImageID = "sha256:0" }, false},
		"another start":      {func(_ *engine.Service, r *engine.Record) { r.Handle = "x" }, false},
		"part of an id": {func(_ *engine.Service, r *engine.Record) {
			id := *r.Container
			id.ID = id.ID[:12]
			r.Container = &id
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := service("t-other", "run")
			i := b.start(t, s)
			r := i.Record()
			keep := r
			c.change(&s, &r)
			next := newMaster(t, b.api, b.dir)
			require.NoError(t, next.Reap(t.Context(), nil, []engine.Record{keep}))
			box, err := next.Open(t.Context(), s)
			require.NoError(t, err)
			_, err = box.Adopt(t.Context(), engine.Spec{Name: s.Name, Handle: r.Handle}, r)
			require.ErrorIs(t, err, engine.ErrGone)
			require.NoError(t, box.Close())
			if c.runs {
				requireRunning(t, i, "it was ended")
			} else {
				enginetest.Ended(t, i)
			}
		})
	}
	t.Run("a stranger's", func(t *testing.T) {
		a, b := newBench(t), newBench(t)
		i := a.start(t, service("t-strange", "run"))
		box, err := b.Open(t.Context(), service("t-strange", "run"))
		require.NoError(t, err)
		_, err = box.Adopt(t.Context(), engine.Spec{Name: "t-strange", Handle: i.Record().Handle}, i.Record())
		require.ErrorIs(t, err, engine.ErrGone)
		require.NoError(t, box.Close())
		requireRunning(t, i, "another master's container was ended")
	})
}

// The signal is that of the service; a paused container is continued first; without any grace it is asked all the same.
func TestStopSignal(t *testing.T) {
	b := newBench(t)
	s := service("t-int", "int")
	s.Stop.Signal = app.Signal(2)
	i := b.start(t, s)
	enginetest.Output(t, i, "up")
	require.NoError(t, b.api.ContainerPause(t.Context(), i.Record().Container.ID))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i.Stop(ctx)
	require.NoError(t, i.Exit().Err)
	require.Contains(t, i.Output(), "asked")
	_, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.Error(t, err, "it is removed when it was stopped")
}

func TestUser(t *testing.T) {
	b := newBench(t)
	s := service("t-who", "who")
	s.User = "1234:56"
	enginetest.Output(t, b.start(t, s), "uid 1234 gid 56")
}

// What has ended stays, with its exit, until it is stopped.
func TestEndedContainerStays(t *testing.T) {
	b := newBench(t)
	i := b.start(t, service("t-fail", "fail"))
	enginetest.Ended(t, i)
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	require.EqualValues(t, container.StateExited, c.State.Status)
	require.Equal(t, 3, c.State.ExitCode)
}
