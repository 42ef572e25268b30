//go:build linux

package docker_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
)

// immutable makes a file in the container's folder that nobody can remove, until the func is called.
func (b *bench) immutable(t *testing.T, id string) (free func()) {
	t.Helper()
	c, err := b.api.ContainerInspect(t.Context(), id)
	require.NoError(t, err)
	dir := ""
	if c.GraphDriver.Data != nil {
		dir = c.GraphDriver.Data["UpperDir"]
	}
	file := filepath.Join(dir, "immutable")
	chattr := func(flag string) error { return exec.Command("chattr", flag, file).Run() }
	if dir == "" || os.WriteFile(file, nil, 0o600) != nil || chattr("+i") != nil {
		requires.Missing(t, "a container's folder on this machine, in which a file can be made immutable",
			"run the test as root with a daemon of this machine whose storage driver is overlay2")
	}
	free = func() { _ = chattr("-i") }
	t.Cleanup(func() {
		free()
		_ = b.api.ContainerRemove(context.Background(), id, container.RemoveOptions{Force: true})
	})
	return free
}

func (b *bench) isGone(id string) func() bool {
	return func() bool {
		_, err := b.api.ContainerInspect(context.Background(), id)
		return errdefs.IsNotFound(err)
	}
}

// A left container that cannot be removed holds up the instance with its name alone, is tried again, and is named in
// its error, and once in the log.
func TestLeftoverThatCannotBeRemoved(t *testing.T) {
	killed := newBench(t)
	stuck := killed.start(t, service("t-stuck", "run"))
	fine := killed.start(t, service("t-fine", "run"))
	free := killed.immutable(t, stuck.Record().Container.ID)

	next := newMaster(t, killed.api, killed.dir)
	require.NoError(t, next.Reap(t.Context(), []engine.Record{stuck.Record()}, nil))
	require.True(t, killed.isGone(fine.Record().Container.ID)())
	enginetest.Ended(t, stuck)
	enginetest.Output(t, next.start(t, service("t-fine", "run")), "up")

	box, err := next.Open(t.Context(), service("t-stuck", "run"))
	require.NoError(t, err)
	for range 2 {
		_, err = box.Start(t.Context(), engine.Spec{Name: "t-stuck"})
		require.ErrorContains(t, err, "an earlier container has the name t-stuck and is not gone yet")
		require.ErrorContains(t, err, "operation not permitted")
	}
	require.Equal(t, 1, strings.Count(next.log.String(), "cannot remove a container"), next.log.String())
	require.Contains(t, next.log.String(), "t-stuck")
	free()
	i, err := box.Start(t.Context(), engine.Spec{Name: "t-stuck"})
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	i.Stop(t.Context())
	require.NoError(t, box.Close())
	require.Contains(t, next.log.String(), "container is removed")
}

// An instance whose container cannot be removed has been stopped all the same; the container goes when it can.
func TestInstanceThatCannotBeRemoved(t *testing.T) {
	b := newBench(t)
	box, err := b.Open(t.Context(), service("t-stays", "run"))
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: "t-stays"})
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	id := i.Record().Container.ID
	free := b.immutable(t, id)
	i.Stop(t.Context())
	require.NoError(t, i.Exit().Err)
	require.False(t, b.isGone(id)())
	enginetest.Output(t, b.start(t, service("t-goes", "run")), "up")
	free()
	require.Eventually(t, b.isGone(id), time.Minute, 100*time.Millisecond, "it is not tried again")
	require.NoError(t, box.Close())
}

// What cannot be removed is no reason to wait when the master ends; the log says what is left.
func TestEndWithWhatCannotBeRemoved(t *testing.T) {
	killed := newBench(t)
	stuck := killed.start(t, service("t-left", "run"))
	killed.immutable(t, stuck.Record().Container.ID)
	next := newMaster(t, killed.api, killed.dir)
	require.NoError(t, next.Reap(t.Context(), []engine.Record{stuck.Record()}, nil))
	require.NoError(t, next.Close())
	require.Contains(t, next.log.String(), "container is left behind")
}

// A left container is ended with its own signal and grace time, also when it is paused or its process stopped, and what
// it wrote last is in the file of its service.
func TestLeftoverEndsAsItsServiceSays(t *testing.T) {
	for name, hold := range map[string]func(*bench, string) error{
		"runs":    func(*bench, string) error { return nil },
		"paused":  func(b *bench, id string) error { return b.api.ContainerPause(t.Context(), id) },
		"stopped": func(b *bench, id string) error { return b.api.ContainerKill(t.Context(), id, "SIGSTOP") },
	} {
		t.Run(name, func(t *testing.T) {
			killed := newBench(t)
			s := service("t-own", "int")
			s.Stop.Signal, s.Stop.Grace = app.Signal(2), time.Minute
			i := killed.start(t, s)
			enginetest.Output(t, i, "up")
			c, err := killed.api.ContainerInspect(t.Context(), i.Record().Container.ID)
			require.NoError(t, err)
			require.Equal(t, 60, *c.Config.StopTimeout)
			require.NoError(t, hold(killed, c.ID))
			next := newMaster(t, killed.api, killed.dir)
			require.NoError(t, next.Reap(t.Context(), nil, nil))
			require.True(t, killed.isGone(c.ID)())
			data, err := os.ReadFile(filepath.Join(next.dir, "var/log/baetyl/services/t-own.log"))
			require.NoError(t, err)
			require.Contains(t, string(data), "stdout: asked\n")
		})
	}
}
