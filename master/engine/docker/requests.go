//go:build unix

package docker

import (
	"context"
	"errors"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// The requests of the engine, as the library has them (client.APIClient).

func (t *transport) Info(ctx context.Context) (system.Info, error) {
	return call(ctx, t, func(c *client.Client) (system.Info, error) { return c.Info(ctx) })
}

func (t *transport) ContainerCreate(
	ctx context.Context, conf *container.Config, host *container.HostConfig, first *network.NetworkingConfig, name string,
) (container.CreateResponse, error) {
	return call(ctx, t, func(c *client.Client) (container.CreateResponse, error) {
		return c.ContainerCreate(ctx, conf, host, first, nil, name)
	})
}

func (t *transport) ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error) {
	return call(ctx, t, func(c *client.Client) (container.InspectResponse, error) { return c.ContainerInspect(ctx, id) })
}

func (t *transport) ContainerList(ctx context.Context, o container.ListOptions) ([]container.Summary, error) {
	return call(ctx, t, func(c *client.Client) ([]container.Summary, error) { return c.ContainerList(ctx, o) })
}

func (t *transport) ContainerStart(ctx context.Context, id string, o container.StartOptions) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerStart(ctx, id, o) })
}

func (t *transport) ContainerStop(ctx context.Context, id string, o container.StopOptions) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerStop(ctx, id, o) })
}

func (t *transport) ContainerKill(ctx context.Context, id, signal string) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerKill(ctx, id, signal) })
}

func (t *transport) ContainerPause(ctx context.Context, id string) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerPause(ctx, id) })
}

func (t *transport) ContainerUnpause(ctx context.Context, id string) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerUnpause(ctx, id) })
}

func (t *transport) ContainerRemove(ctx context.Context, id string, o container.RemoveOptions) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerRemove(ctx, id, o) })
}

func (t *transport) ContainerLogs(ctx context.Context, id string, o container.LogsOptions) (io.ReadCloser, error) {
	return call(ctx, t, func(c *client.Client) (io.ReadCloser, error) { return c.ContainerLogs(ctx, id, o) })
}

func (t *transport) ContainerStatsOneShot(ctx context.Context, id string) (container.StatsResponseReader, error) {
	return call(ctx, t, func(c *client.Client) (container.StatsResponseReader, error) {
		return c.ContainerStatsOneShot(ctx, id)
	})
}

func (t *transport) ContainerExecCreate(
	ctx context.Context, id string, o container.ExecOptions,
) (container.ExecCreateResponse, error) {
	return call(ctx, t, func(c *client.Client) (container.ExecCreateResponse, error) {
		return c.ContainerExecCreate(ctx, id, o)
	})
}

func (t *transport) ContainerExecAttach(
	ctx context.Context, exec string, o container.ExecAttachOptions,
) (types.HijackedResponse, error) {
	return call(ctx, t, func(c *client.Client) (types.HijackedResponse, error) {
		return c.ContainerExecAttach(ctx, exec, o)
	})
}

func (t *transport) ContainerExecInspect(ctx context.Context, exec string) (container.ExecInspect, error) {
	return call(ctx, t, func(c *client.Client) (container.ExecInspect, error) { return c.ContainerExecInspect(ctx, exec) })
}

func (t *transport) ContainerExecResize(ctx context.Context, exec string, o container.ResizeOptions) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerExecResize(ctx, exec, o) })
}

// ContainerWait waits until the container runs no more. Its caller asks again after an error, and inspects in between,
// which finds out that the daemon speaks another version.
func (t *transport) ContainerWait(ctx context.Context, id string) error {
	c, err := t.current(ctx)
	if err != nil {
		return err
	}
	answer, failure := c.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case <-answer:
		return nil
	case err := <-failure:
		if errors.Is(err, io.EOF) { // the daemon has closed the connection
			err = io.ErrUnexpectedEOF
		}
		return outage(err)
	}
}

// Events returns what has happened, and what happens, in the order of time. It ends with an error, io.EOF when all has
// been said that was asked for.
func (t *transport) Events(ctx context.Context, o events.ListOptions) (<-chan events.Message, <-chan error) {
	c, err := t.current(ctx)
	if err != nil {
		failed := make(chan error, 1)
		failed <- err
		return nil, failed
	}
	return c.Events(ctx, o)
}

func (t *transport) ImageInspect(ctx context.Context, name string) (image.InspectResponse, error) {
	return call(ctx, t, func(c *client.Client) (image.InspectResponse, error) { return c.ImageInspect(ctx, name) })
}

func (t *transport) ImagePull(ctx context.Context, name string, o image.PullOptions) (io.ReadCloser, error) {
	return call(ctx, t, func(c *client.Client) (io.ReadCloser, error) { return c.ImagePull(ctx, name, o) })
}

func (t *transport) NetworkInspect(ctx context.Context, id string, o network.InspectOptions) (network.Inspect, error) {
	return call(ctx, t, func(c *client.Client) (network.Inspect, error) { return c.NetworkInspect(ctx, id, o) })
}

func (t *transport) NetworkCreate(
	ctx context.Context, name string, o network.CreateOptions,
) (network.CreateResponse, error) {
	return call(ctx, t, func(c *client.Client) (network.CreateResponse, error) { return c.NetworkCreate(ctx, name, o) })
}

func (t *transport) NetworkConnect(ctx context.Context, id, to string, s *network.EndpointSettings) error {
	return t.do(ctx, func(c *client.Client) error { return c.NetworkConnect(ctx, id, to, s) })
}

func (t *transport) VolumeInspect(ctx context.Context, name string) (volume.Volume, error) {
	return call(ctx, t, func(c *client.Client) (volume.Volume, error) { return c.VolumeInspect(ctx, name) })
}

func (t *transport) VolumeCreate(ctx context.Context, o volume.CreateOptions) (volume.Volume, error) {
	return call(ctx, t, func(c *client.Client) (volume.Volume, error) { return c.VolumeCreate(ctx, o) })
}

func (t *transport) ContainerRename(ctx context.Context, id, name string) error {
	return t.do(ctx, func(c *client.Client) error { return c.ContainerRename(ctx, id, name) })
}

func (t *transport) ContainerUpdate(
	ctx context.Context, id string, o container.UpdateConfig,
) (container.UpdateResponse, error) {
	return call(ctx, t, func(c *client.Client) (container.UpdateResponse, error) { return c.ContainerUpdate(ctx, id, o) })
}

func (t *transport) NetworkList(ctx context.Context, o network.ListOptions) ([]network.Summary, error) {
	return call(ctx, t, func(c *client.Client) ([]network.Summary, error) { return c.NetworkList(ctx, o) })
}

func (t *transport) NetworkDisconnect(ctx context.Context, name, id string, force bool) error {
	return t.do(ctx, func(c *client.Client) error { return c.NetworkDisconnect(ctx, name, id, force) })
}

func (t *transport) NetworkRemove(ctx context.Context, id string) error {
	return t.do(ctx, func(c *client.Client) error { return c.NetworkRemove(ctx, id) })
}

func (t *transport) ImageList(ctx context.Context, o image.ListOptions) ([]image.Summary, error) {
	return call(ctx, t, func(c *client.Client) ([]image.Summary, error) { return c.ImageList(ctx, o) })
}

func (t *transport) ImageRemove(ctx context.Context, ref string, o image.RemoveOptions) error {
	return t.do(ctx, func(c *client.Client) error {
		_, err := c.ImageRemove(ctx, ref, o)
		return err
	})
}

func (t *transport) VolumeList(ctx context.Context, o volume.ListOptions) (volume.ListResponse, error) {
	return call(ctx, t, func(c *client.Client) (volume.ListResponse, error) { return c.VolumeList(ctx, o) })
}

func (t *transport) VolumeRemove(ctx context.Context, name string) error {
	return t.do(ctx, func(c *client.Client) error { return c.VolumeRemove(ctx, name, false) })
}
