//go:build linux

package docker_test

import (
	"context"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// names are those of some items of one kind.
func names(items []masterapi.PrunedItem, kind string) []string {
	out := []string{}
	for _, i := range items {
		if i.Kind == kind {
			out = append(out, i.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Of the images only those go that this master has pulled and nobody uses.
func TestPruneImages(t *testing.T) {
	b, registry := newBench(t), newStore(t)
	b.always()
	running := registry.push("running", "running")
	previous, unused := registry.push("previous", "previous"), registry.push("unused", "unused")
	tagged, held := registry.push("tagged", "tagged"), registry.push("held", "held")
	found := map[string]engine.Image{}
	for _, name := range []string{running, previous, unused, tagged, held} {
		found[name] = b.take(t, name)
	}
	foreign := registry.push("foreign", "foreign")
	other := newBench(t)
	other.always()
	found[foreign] = other.take(t, foreign)
	require.Equal(t, found[foreign], b.take(t, foreign), "it was there before")
	require.NoError(t, b.api.ImageTag(t.Context(), found[tagged].ID, "localhost:1/strangers:own"))
	b.dropAtEnd(t, "localhost:1/strangers:own")
	c, err := b.api.ContainerCreate(t.Context(), &container.Config{Image: held}, nil, nil, nil, "t-strangers-own")
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}) })
	b.Use(engine.Images{
		Running:  map[string]engine.Image{running: found[running]},
		Previous: map[string]engine.Image{previous: found[previous]},
	}, false)

	require.Empty(t, b.Prune(t.Context(), engine.Named{}, engine.Pruning{}).Removed, "none is old enough")
	dry := b.Prune(t.Context(), engine.Named{}, engine.Pruning{All: true, DryRun: true})
	require.Equal(t, []string{unused}, names(dry.Removed, masterapi.PrunedImage))
	_, err = b.api.ImageInspect(t.Context(), unused)
	require.NoError(t, err)
	got := b.Prune(t.Context(), engine.Named{}, engine.Pruning{All: true})
	require.Equal(t, []string{unused}, names(got.Removed, masterapi.PrunedImage))
	require.Empty(t, got.Failed)
	b.absent(t, found[unused].ID)
	for _, name := range []string{running, previous, tagged, held, foreign} {
		_, err := b.api.ImageInspect(t.Context(), found[name].ID)
		require.NoError(t, err, name)
	}
	// An image that an update has looked up is not removed before the update uses it.
	_, err = b.Resolve(t.Context(), unused, engine.Image{})
	require.NoError(t, err)
	got = b.Prune(t.Context(), engine.Named{}, engine.Pruning{All: true})
	require.Empty(t, names(got.Removed, masterapi.PrunedImage))
	// The next master knows what this one has pulled.
	next := newMaster(t, b.api, b.dir)
	got = next.Prune(t.Context(), engine.Named{}, engine.Pruning{All: true})
	require.Equal(t, []string{previous, running, unused}, names(got.Removed, masterapi.PrunedImage))
}

// Of networks and volumes only those go that this master has made and no application names. One that cannot be removed
// stops nothing.
func TestPruneNetworksAndVolumes(t *testing.T) {
	b := newBench(t)
	s := service("t-pruned", "run")
	s.Service.Networks = app.Aliases{"tp-a": {}, "tp-busy": {}, "tp-named": {}}
	s.Networks = map[string]app.Network{"tp-a": {}, "tp-busy": {}, "tp-named": {}}
	s.Volumes = map[string]app.Volume{}
	for _, name := range []string{"tp-v", "tp-v-named"} {
		s.Mounts = append(s.Mounts, app.Mount{Name: name, Path: "/" + name})
		s.Volumes[name] = app.Volume{Name: name, Driver: "local"}
	}
	t.Cleanup(func() {
		for _, n := range []string{"tp-a", "tp-busy", "tp-named", "tp-foreign"} {
			_ = b.api.NetworkRemove(context.Background(), n)
		}
		for _, v := range []string{"tp-v", "tp-v-named"} {
			_ = b.api.VolumeRemove(context.Background(), v, true)
		}
	})
	_, err := b.api.NetworkCreate(t.Context(), "tp-foreign", network.CreateOptions{
		Labels: map[string]string{"baetyl": "baetyl", "baetyl.master": "another"},
	})
	require.NoError(t, err)
	b.runOnce(t, s)
	c, err := b.api.ContainerCreate(t.Context(), &container.Config{Image: testImage, Cmd: []string{"run"}},
		&container.HostConfig{NetworkMode: "tp-busy"}, nil, nil, "tp-stranger")
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}) })
	require.NoError(t, b.api.ContainerStart(t.Context(), c.ID, container.StartOptions{}))

	require.Empty(t, b.Prune(t.Context(), engine.Named{}, engine.Pruning{All: true, Volumes: true}).Removed,
		"nothing is known of applications")
	named := engine.Named{Networks: map[string]bool{"tp-named": true}}
	got := b.Prune(t.Context(), named, engine.Pruning{Volumes: true})
	require.Contains(t, got.Note, "volumes are kept")
	require.Equal(t, []string{"tp-a"}, names(got.Removed, masterapi.PrunedNetwork))
	require.Equal(t, []string{"tp-busy"}, names(got.Failed, masterapi.PrunedNetwork))
	require.Contains(t, got.Failed[0].Error, "active endpoints")

	named.Volumes = map[string]bool{"tp-v-named": true}
	require.Empty(t, names(b.Prune(t.Context(), named, engine.Pruning{}).Removed, masterapi.PrunedVolume))
	got = b.Prune(t.Context(), named, engine.Pruning{Volumes: true})
	require.Equal(t, []string{"tp-v"}, names(got.Removed, masterapi.PrunedVolume))
	_, err = b.api.VolumeInspect(t.Context(), "tp-v-named")
	require.NoError(t, err)
	_, err = b.api.NetworkInspect(t.Context(), "tp-foreign", network.InspectOptions{})
	require.NoError(t, err)
}
