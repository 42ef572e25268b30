//go:build linux

package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/go-connections/nat"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
)

func pointer[T any](v T) *T { return &v }

// The daemon takes every key, and keeps to it.
func TestContainerKeys(t *testing.T) {
	b := newBench(t)
	s := service("t-keys", "write", "/fast/x")
	s.Container = app.Container{
		Init: true, CapAdd: []string{"cap_sys_time"}, CapDrop: []string{"MKNOD"}, ReadOnly: pointer(true),
		Tmpfs: app.Texts{"fast:size=1m,mode=1777"}, ExtraHosts: app.Hosts{"printer:192.168.1.7", "six:[::1]"},
		DNS: app.Texts{"192.168.1.1"}, Log: &app.Log{Driver: "local", Options: map[string]string{"max-size": "1m"}},
		Healthcheck: &app.Healthcheck{Test: app.Test{"CMD", "/actor", "succeed"}, Interval: time.Hour, Retries: 2},
	}
	s.Ports = []string{"127.0.0.1:21883-21884:1883-1884/udp", "127.0.0.1:21890-21899:80"}
	i := b.start(t, s)
	enginetest.Output(t, i, "error: false")
	c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
	require.NoError(t, err)
	require.True(t, *c.HostConfig.Init)
	require.True(t, c.HostConfig.ReadonlyRootfs)
	require.Equal(t, []string{"no-new-privileges"}, c.HostConfig.SecurityOpt)
	require.Equal(t, []string{"printer:192.168.1.7", "six:::1"}, c.HostConfig.ExtraHosts)
	require.Equal(t, []string{"192.168.1.1"}, c.HostConfig.DNS)
	require.Equal(t, "local", c.HostConfig.LogConfig.Type)
	require.Equal(t, []string{"CMD", "/actor", "succeed"}, c.Config.Healthcheck.Test)
	require.Contains(t, c.HostConfig.PortBindings, nat.Port("1884/udp"))
	require.Empty(t, i.Warnings())
}

// A hardened container writes to its volumes and to memory, nowhere else.
func TestHardened(t *testing.T) {
	b := newBench(t)
	for path, refused := range map[string]string{
		"/x": "true", "/tmp/x": "false", "/var/tmp/x": "false", "/data/x": "false",
	} {
		s := service("t-hardened", "write", path)
		s.Hardened = pointer(true)
		s.Mounts, s.Volumes = []app.Mount{{Name: "v", Path: "data"}}, map[string]app.Volume{"v": {Name: "v", Path: "v"}}
		i := b.start(t, s)
		enginetest.Output(t, i, "error: "+refused)
		c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
		require.NoError(t, err)
		require.EqualValues(t, []string{"ALL"}, c.HostConfig.CapDrop)
		require.EqualValues(t, 4096, *c.HostConfig.PidsLimit)
		i.Stop(t.Context())
	}
}

// docker.hardened holds for all images, from the next container on.
func TestHardenAll(t *testing.T) {
	b := newBench(t)
	b.Set(docker.Settings{Hardened: true})
	enginetest.Output(t, b.start(t, service("t-all", "write", "/x")), "error: true")
	s := service("t-not", "write", "/x")
	s.Hardened = pointer(false)
	enginetest.Output(t, b.start(t, s), "error: false")
}

// A module goes on with what an earlier version has left: files of root, which ran it with all of docker's
// capabilities, and those of other users, as whoever prepared the folders.
func TestModuleOwnsItsVolumes(t *testing.T) {
	if os.Getuid() != 0 {
		requires.Missing(t, "root", "run the test as root: it makes a folder of another user")
	}
	b := newBench(t)
	const name = "baetyl-engine-test/baetyl-hub:keys"
	require.NoError(t, b.api.ImageTag(t.Context(), testImage, name))
	t.Cleanup(func() { _, _ = b.api.ImageRemove(context.Background(), name, image.RemoveOptions{}) })
	for _, uid := range []int{0, 4711} {
		dir := filepath.Join(b.dir, "data")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o600))
		require.NoError(t, os.Chown(dir, uid, uid))
		require.NoError(t, os.Chown(filepath.Join(dir, "x"), uid, uid))
		s := service("t-module", "write", "/var/db/baetyl/data/x")
		s.Image = name
		s.Mounts = []app.Mount{{Name: "v", Path: "var/db/baetyl/data"}}
		s.Volumes = map[string]app.Volume{"v": {Name: "v", Path: "data"}}
		i := b.start(t, s)
		enginetest.Output(t, i, "error: false")
		c, err := b.api.ContainerInspect(t.Context(), i.Record().Container.ID)
		require.NoError(t, err)
		require.True(t, c.HostConfig.ReadonlyRootfs)
		i.Stop(t.Context())
	}
}
