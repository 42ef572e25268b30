//go:build unix

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
)

// Dial connects to a port of the container, at its address in one of its networks, or to a socket in its run folder.
func (i *instance) Dial(ctx context.Context, e app.Endpoint) (net.Conn, error) {
	if e.Socket != "" {
		return http.DialPrivate(ctx, i.engine.RunDir(i.record.Service, i.record.Instance), e.Socket)
	}
	own, err := i.address(ctx)
	if err != nil {
		return nil, err
	}
	return engine.DialPort(ctx, own, e)
}

// addressTimeout bounds the question to the daemon. One that hangs is no fault of the instance.
const addressTimeout = 2 * time.Second

// address is where the container is reached from this host. It is asked for each time: a network may be another one by
// now.
func (i *instance) address(ctx context.Context) (string, error) {
	asked, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	c, err := i.engine.api.ContainerInspect(asked, i.id)
	if errdefs.IsNotFound(err) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	return addressOf(c)
}

func addressOf(c container.InspectResponse) (string, error) {
	if c.HostConfig != nil && c.HostConfig.NetworkMode.IsHost() {
		return "127.0.0.1", nil
	}
	var networks map[string]*network.EndpointSettings
	if c.NetworkSettings != nil {
		networks = c.NetworkSettings.Networks
	}
	var names []string
	for name := range networks {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if n := networks[name]; n != nil && cmp.Or(n.IPAddress, n.GlobalIPv6Address) != "" {
			return cmp.Or(n.IPAddress, n.GlobalIPv6Address), nil
		}
	}
	return "", errors.New("the container has no address in any network; a probe with exec needs none")
}
