//go:build linux

package disorder_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/require"
)

// stranger is the name of a container, a network and a volume of another master on the same daemon. Nobody touches them.
const stranger = "stranger"

// addStranger starts the stranger. Docker keeps it running.
func (w *world) addStranger() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.registry.AddProgram(w.t, "app/s:1", peer, `"Labels":{}`)
	name := w.registry.Host() + "/app/s:1"
	pull, err := w.api.ImagePull(ctx, name, image.PullOptions{})
	require.NoError(w.t, err)
	_, err = io.Copy(io.Discard, pull)
	require.NoError(w.t, err)
	require.NoError(w.t, pull.Close())
	labels := map[string]string{"baetyl": "baetyl", "baetyl.master": stranger}
	_, err = w.api.NetworkCreate(ctx, stranger, network.CreateOptions{Labels: labels})
	require.NoError(w.t, err)
	_, err = w.api.VolumeCreate(ctx, volume.CreateOptions{Name: stranger, Labels: labels})
	require.NoError(w.t, err)
	c, err := w.api.ContainerCreate(ctx,
		&container.Config{Image: name, Cmd: []string{"serve"}, Env: []string{"V=" + stranger}, Labels: labels},
		&container.HostConfig{
			Binds: []string{stranger + ":/data"}, NetworkMode: stranger,
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
		}, nil, nil, stranger)
	require.NoError(w.t, err)
	require.NoError(w.t, w.api.ContainerStart(ctx, c.ID, container.StartOptions{}))
	w.stranger = c.ID
}

// checkStranger returns what is not as it was with the container of the stranger.
func checkStranger(c container.Summary) error {
	if c.State != container.StateRunning || c.NetworkSettings == nil || c.NetworkSettings.Networks[stranger] == nil ||
		len(c.Mounts) != 1 || c.Mounts[0].Name != stranger {
		return fmt.Errorf("the stranger is not as it was: %s, networks %v, mounts %v", c.Status, c.NetworkSettings, c.Mounts)
	}
	return nil
}
