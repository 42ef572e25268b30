//go:build linux

package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// seen is how long a test waits until the engine has seen something; docker events come at once.
const seen = time.Minute

// watched runs the engine of the bench until the test ends.
func (b *bench) watched(t *testing.T) *bench {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return b
}

// warned waits until a warning of the instance has that text.
func warned(t *testing.T, i engine.Instance, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(i.Warnings(), "\n"), text)
	}, seen, 50*time.Millisecond, text)
}

func (b *bench) inspect(t *testing.T, i engine.Instance) container.InspectResponse {
	t.Helper()
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	return c
}

func inNetwork(s engine.Service, name string, n app.Network, a app.Alias) engine.Service {
	s.Service.Networks = app.Aliases{name: a}
	s.Networks = map[string]app.Network{name: n}
	return s
}

// What others do to a container is seen, and put right: renamed, paused, its network.
func TestDriftIsPutRight(t *testing.T) {
	b := newBench(t).watched(t)
	t.Cleanup(func() { _ = b.api.NetworkRemove(context.Background(), "t-drift-net") })
	s := inNetwork(service("t-drift", "run"), "t-drift-net", app.Network{}, app.Alias{Aliases: []string{"t-drift-alias"}})
	i := b.start(t, s)
	enginetest.Output(t, i, "up")
	id := i.Record().Container.ID
	ctx := t.Context()

	require.NoError(t, b.api.ContainerRename(ctx, id, "t-drift-other"))
	warned(t, i, "renamed to t-drift-other by another docker client; renamed back")
	require.Equal(t, "/t-drift", b.inspect(t, i).Name)

	require.NoError(t, b.api.NetworkDisconnect(ctx, "t-drift-net", id, true))
	warned(t, i, "not connected to network t-drift-net any more; connected again")
	require.Contains(t, b.inspect(t, i).NetworkSettings.Networks["t-drift-net"].Aliases, "t-drift-alias")

	require.NoError(t, b.api.NetworkDisconnect(ctx, "t-drift-net", id, true))
	require.NoError(t, b.api.NetworkConnect(ctx, "t-drift-net", id, nil))
	warned(t, i, "lost its aliases in network t-drift-net; connected again")

	require.NoError(t, b.api.ContainerPause(ctx, id))
	warned(t, i, "paused by another docker client; continued")
	require.False(t, b.inspect(t, i).State.Paused)
	require.Contains(t, b.log.String(), "renamed back")
}

// So are its policy and its limits.
func TestUpdateIsPutRight(t *testing.T) {
	b := newBench(t).watched(t)
	s := service("t-update", "run")
	s.Resources.Memory.Limit = conf.Size(64 << 20)
	i := b.start(t, s)
	enginetest.Output(t, i, "up")
	_, err := b.api.ContainerUpdate(t.Context(), i.Record().Container.ID, container.UpdateConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
		Resources:     container.Resources{Memory: 32 << 20},
	})
	require.NoError(t, err)
	warned(t, i, "restart policy always by another docker client; set back")
	warned(t, i, "memory 33554432, not 67108864; set back")
	require.EqualValues(t, 64<<20, b.inspect(t, i).HostConfig.Memory)
	require.EqualValues(t, "no", b.inspect(t, i).HostConfig.RestartPolicy.Name)
}

// A network that was removed under a container is made again, and the container is connected to it.
func TestNetworkMadeAnew(t *testing.T) {
	b := newBench(t).watched(t)
	t.Cleanup(func() { _ = b.api.NetworkRemove(context.Background(), "t-anew") })
	i := b.start(t, inNetwork(service("t-anew", "run"), "t-anew", app.Network{}, app.Alias{}))
	enginetest.Output(t, i, "up")
	ctx := t.Context()
	// The engine may be as fast as the removal.
	require.Eventually(t, func() bool {
		_ = b.api.NetworkDisconnect(ctx, "t-anew", i.Record().Container.ID, true)
		return b.api.NetworkRemove(ctx, "t-anew") == nil
	}, seen, 10*time.Millisecond)
	warned(t, i, "not connected to network t-anew any more; connected again")
	n, err := b.api.NetworkInspect(ctx, "t-anew", network.InspectOptions{})
	require.NoError(t, err)
	require.Contains(t, n.Containers, i.Record().Container.ID)
}

// A container that somebody restarts runs on as the same instance; one that he starts after its end is stopped.
func TestRestartedByOthers(t *testing.T) {
	b := newBench(t).watched(t)
	i := b.start(t, service("t-restarted", "run"))
	enginetest.Output(t, i, "up")
	id := i.Record().Container.ID
	require.NoError(t, b.api.ContainerRestart(t.Context(), id, container.StopOptions{}))
	warned(t, i, "restarted by another docker client")
	requireRunning(t, i, "a restart was taken for the end")
	require.NotContains(t, b.log.String(), "does not answer")
	enginetest.Output(t, i, "up")

	require.NoError(t, b.api.ContainerStop(t.Context(), id, container.StopOptions{}))
	<-i.Done()
	warned(t, i, "stopped by another docker client")
	require.NoError(t, b.api.ContainerStart(t.Context(), id, container.StartOptions{}))
	warned(t, i, "started by another docker client after its end; stopped again")
	require.False(t, b.inspect(t, i).State.Running)
}

// What a start needs is there again, whoever has removed it since the one before.
func TestSurroundingsOfEachStart(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	clean := func() {
		_ = b.api.NetworkRemove(context.Background(), "t-around")
		_ = b.api.VolumeRemove(context.Background(), "t-around", true)
	}
	clean()
	t.Cleanup(clean)
	s := inNetwork(service("t-around", "run"), "t-around", app.Network{
		Subnet: app.Texts{"10.213.7.0/24"}, Gateway: app.Texts{"10.213.7.9"}, Internal: true, IPv6: true,
	}, app.Alias{IPv4Address: "10.213.7.77"})
	s.Mounts = []app.Mount{{Name: "t-around", Path: "/data"}, {Name: "folder", Path: "/folder"}}
	options := map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "nodev"}
	s.Volumes = map[string]app.Volume{
		"t-around": {Name: "t-around", Driver: "local", DriverOpts: options}, "folder": {Name: "folder", Path: "made/folder"},
	}
	box, err := b.Open(ctx, s)
	require.NoError(t, err)
	defer box.Close()
	for range 2 {
		clean()
		require.NoError(t, os.RemoveAll(filepath.Join(b.dir, "made")))
		i, err := box.Start(ctx, engine.Spec{Name: s.Name, Env: map[string]string{masterapi.EnvServiceToken: "token"}})
		require.NoError(t, err)
		to := b.inspect(t, i).NetworkSettings.Networks["t-around"]
		require.Equal(t, "10.213.7.77", to.IPAddress)
		require.NotEmpty(t, to.GlobalIPv6Address)
		n, err := b.api.NetworkInspect(ctx, "t-around", network.InspectOptions{})
		require.NoError(t, err)
		require.True(t, n.Internal)
		require.Equal(t, "10.213.7.9", n.IPAM.Config[0].Gateway)
		v, err := b.api.VolumeInspect(ctx, "t-around")
		require.NoError(t, err)
		require.Equal(t, options, v.Options)
		i.Stop(ctx)
	}

	// A plain volume in the place of one with options is not used.
	clean()
	_, err = b.api.VolumeCreate(ctx, volume.CreateOptions{Name: "t-around"})
	require.NoError(t, err)
	_, err = box.Start(ctx, engine.Spec{Name: s.Name})
	require.ErrorContains(t, err, "docker volume rm t-around")
}

// `docker system prune -af --volumes` between two lives of a service, and a new installation of docker, keep nothing
// from starting.
func TestPruneBetweenLives(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{})
	b.watched(t)
	ctx := t.Context()
	s := inNetwork(service("t-prune", "run"), "t-prune", app.Network{Subnet: app.Texts{"10.213.7.0/24"}}, app.Alias{})
	s.Mounts = []app.Mount{{Name: "t-prune", Path: "/data"}}
	s.Volumes = map[string]app.Volume{"t-prune": {Name: "t-prune", Driver: "local", DriverOpts: map[string]string{
		"type": "tmpfs", "device": "tmpfs", "o": "nodev",
	}}}
	box, err := b.Open(ctx, s) // of a service that had no instances for a while
	require.NoError(t, err)
	defer box.Close()
	for name, clean := range map[string]func(){
		"prune": d.Prune, "replace": d.Replace,
		"prune what has ended": func() {
			i, err := box.Start(ctx, engine.Spec{Name: "t-prune"})
			require.NoError(t, err)
			require.NoError(t, b.api.ContainerKill(ctx, i.Record().Container.ID, "KILL"))
			enginetest.Ended(t, i)
			d.Prune()
			i.Stop(ctx)
		},
	} {
		clean()
		dockertest.Image(t, d.Host(), testImage, "testdata/actor")
		b.Use(engine.Images{}, false) // images are another test's matter
		i, err := box.Start(ctx, engine.Spec{Name: "t-prune"})
		require.NoError(t, err, name)
		require.Contains(t, b.inspect(t, i).NetworkSettings.Networks, "t-prune", name)
		v, err := b.api.VolumeInspect(ctx, "t-prune")
		require.NoError(t, err)
		require.Equal(t, "tmpfs", v.Options["type"], name)
		i.Stop(ctx)
	}
}

// A network that others have made otherwise is used as it is, and the instance says so. One that this master has made
// and nobody uses follows the application.
func TestNetworkOfAnotherKind(t *testing.T) {
	b := newBench(t).watched(t)
	ctx := t.Context()
	clean := func() { _ = b.api.NetworkRemove(context.Background(), "t-kind") }
	clean()
	t.Cleanup(clean)
	_, err := b.api.NetworkCreate(ctx, "t-kind", network.CreateOptions{Driver: "bridge"})
	require.NoError(t, err)
	with := func(subnet string) engine.Service {
		n := app.Network{Subnet: app.Texts{subnet}}
		return inNetwork(service("t-kind", "run"), "t-kind", n, app.Alias{})
	}
	i := b.start(t, with("10.213.8.0/24"))
	warned(t, i, "not 10.213.8.0/24; it is used as it is")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	i.Stop(ended)
	clean()

	for _, subnet := range []string{"10.213.8.0/24", "10.213.9.0/24"} {
		i := b.start(t, with(subnet))
		n, err := b.api.NetworkInspect(ctx, "t-kind", network.InspectOptions{})
		require.NoError(t, err)
		require.Equal(t, subnet, n.IPAM.Config[0].Subnet)
		i.Stop(ended)
	}
}
