//go:build linux

package docker_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// run starts a container beside the engine.
func (b *bench) run(t *testing.T, name string, c *container.Config) string {
	t.Helper()
	made, err := b.api.ContainerCreate(t.Context(), c, nil, nil, nil, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = b.api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
	})
	require.NoError(t, b.api.ContainerStart(t.Context(), made.ID, container.StartOptions{}))
	return made.ID
}

func (b *bench) requireGone(t *testing.T, id, what string) {
	t.Helper()
	require.Eventually(t, b.isGone(id), time.Minute, 50*time.Millisecond, what)
}

// What this master has made and no instance knows is found and removed; what only looks so is left alone.
func TestWhatNoInstanceKnows(t *testing.T) {
	b := newBench(t)
	i := b.start(t, service("t-known", "run"))
	id := i.Record().Container.ID
	c, err := b.api.ContainerInspect(t.Context(), id)
	require.NoError(t, err)
	labels := func(key, value string) map[string]string {
		out := maps.Clone(c.Config.Labels)
		out[key] = value
		return out
	}
	late := b.run(t, "t-late", &container.Config{
		Image: testImage, Cmd: []string{"run"}, Labels: labels("baetyl.handle", "another"),
	})
	stranger := b.run(t, "t-stranger", &container.Config{
		Image: testImage, Cmd: []string{"run"}, Labels: labels("baetyl.master", "another"),
	})
	clone, err := b.api.ContainerCommit(t.Context(), id, container.CommitOptions{
		Reference: "baetyl-engine-test-clone", Config: &container.Config{}, // podman wants one
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = b.api.ImageRemove(context.Background(), clone.ID, image.RemoveOptions{Force: true})
	})
	copied := b.run(t, "t-copied", &container.Config{Image: clone.ID})

	b.EndUnknown(t.Context())
	b.requireGone(t, late, "a container that no instance has runs on")
	for what, id := range map[string]string{"its own": id, "another master's": stranger, "somebody's clone": copied} {
		c, err := b.api.ContainerInspect(t.Context(), id)
		require.NoError(t, err, what)
		require.True(t, c.State.Running, what)
	}

	// A clone that has the name of an instance is not ours either.
	box, err := b.Open(t.Context(), service("t-copied", "run"))
	require.NoError(t, err)
	_, err = box.Start(t.Context(), engine.Spec{Name: "t-copied"})
	require.ErrorContains(t, err, "a container that is not ours has the name t-copied")
	require.NoError(t, box.Close())

	// The application may use an image that was made of a container of ours.
	s := service("t-of-clone", "run")
	s.Image = "baetyl-engine-test-clone"
	of := b.start(t, s)
	next := newMaster(t, b.api, b.dir)
	require.NoError(t, next.Reap(t.Context(), nil, []engine.Record{i.Record()}))
	enginetest.Ended(t, of)
	require.False(t, b.isGone(copied)())
	requireRunning(t, i, "it was to be kept")
}

// What has ended is held until Stop, so that a later master learns how.
func TestEndedContainerIsKnown(t *testing.T) {
	b := newBench(t)
	i := b.start(t, service("t-held", "succeed"))
	enginetest.Ended(t, i)
	b.EndUnknown(t.Context())
	require.False(t, b.isGone(i.Record().Container.ID)())
}

// The end of the master ends what no instance has, and keeps what a later master is to adopt.
func TestEndOfTheMaster(t *testing.T) {
	b := newBench(t)
	i := b.start(t, service("t-run", "run"))
	next := newMaster(t, b.api, b.dir)
	require.NoError(t, next.Reap(t.Context(), nil, []engine.Record{i.Record()}))
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	c.Config.Labels["baetyl.handle"] = "dynamic"
	lost := b.run(t, "t-lost", &container.Config{Image: testImage, Cmd: []string{"run"}, Labels: c.Config.Labels})
	require.NoError(t, next.Close())
	require.True(t, b.isGone(lost)(), "a container of the master outlives it")
	requireRunning(t, i, "it was to be kept")
}

// A container that was renamed by hand is found by its id.
func TestRenamedContainerIsAdopted(t *testing.T) {
	b := newBench(t)
	s := service("t-name", "count")
	i := b.start(t, s)
	enginetest.Output(t, i, "n=1")
	r := i.Record()
	require.NoError(t, b.api.ContainerRename(t.Context(), r.Container.ID, "t-renamed"))
	next := newMaster(t, b.api, b.dir)
	require.NoError(t, next.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
	box, err := next.Open(t.Context(), s)
	require.NoError(t, err)
	got, err := box.Adopt(t.Context(), engine.Spec{Name: s.Name, Handle: r.Handle}, r)
	require.NoError(t, err)
	next.EndUnknown(t.Context())
	require.Equal(t, r.Container.ID, got.Record().Container.ID)
	requireRunning(t, got, "it was adopted")
	got.Stop(t.Context())
	require.True(t, b.isGone(r.Container.ID)())
	require.NoError(t, box.Close())
}
