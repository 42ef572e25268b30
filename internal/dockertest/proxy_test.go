//go:build linux

package dockertest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
)

func through(t *testing.T, p *dockertest.P, opts ...client.Opt) *client.Client {
	api, err := client.NewClientWithOpts(append([]client.Opt{client.WithHost(p.Host())}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	return api
}

func TestProxy(t *testing.T) {
	d := dockertest.Daemon(t, dockertest.Options{})
	dockertest.Image(t, d.Host(), "peer", peer)
	p := dockertest.Proxy(t, d.Host(), dockertest.ProxyOptions{})
	negotiates := func() *client.Client { return through(t, p, client.WithAPIVersionNegotiation()) }

	t.Run("versions", func(t *testing.T) {
		p.Set(dockertest.ProxyOptions{Max: "1.99", Min: "1.30"})
		_, err := through(t, p, client.WithVersion("1.99")).Info(t.Context())
		require.NoError(t, err)
		_, err = through(t, p, client.WithVersion("1.100")).Info(t.Context())
		require.ErrorContains(t, err, "client version 1.100 is too new. Maximum supported API version is 1.99")
		_, err = through(t, p, client.WithVersion("1.29")).Info(t.Context())
		require.ErrorContains(t, err, "client version 1.29 is too old. Minimum supported API version is 1.30")
		p.Set(dockertest.ProxyOptions{Max: "1.41", Min: "1.24"})
		api := negotiates()
		v, err := api.ServerVersion(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"1.41", "1.24", "1.41"}, []string{v.APIVersion, v.MinAPIVersion, api.ClientVersion()})
	})

	t.Run("fail, drop", func(t *testing.T) {
		creates := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/containers/create") }
		p.Set(dockertest.ProxyOptions{Fail: func(r *http.Request) (int, string) {
			if creates(r) {
				return http.StatusInternalServerError, "no luck"
			}
			return 0, ""
		}})
		api := negotiates()
		_, err := api.ContainerCreate(t.Context(), &container.Config{Image: "peer"}, nil, nil, nil, "")
		require.ErrorContains(t, err, "no luck")
		_, err = api.Info(t.Context())
		require.NoError(t, err)
		p.Set(dockertest.ProxyOptions{Drop: creates})
		_, err = api.ContainerCreate(t.Context(), &container.Config{Image: "peer"}, nil, nil, nil, "")
		require.Error(t, err)
	})

	t.Run("hold", func(t *testing.T) {
		p.Set(dockertest.ProxyOptions{Hold: func(*http.Request) bool { return true }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := through(t, p, client.WithVersion("1.40")).ContainerCreate(ctx,
			&container.Config{Image: "peer"}, nil, nil, nil, "late")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.Set(dockertest.ProxyOptions{Delay: time.Millisecond})
		require.Eventually(t, func() bool { // the daemon carries it out
			_, err := negotiates().ContainerInspect(t.Context(), "late")
			return err == nil
		}, timeout, tick)
	})

	t.Run("streams", func(t *testing.T) {
		p.Set(dockertest.ProxyOptions{})
		api := negotiates()
		c, err := api.ContainerCreate(t.Context(),
			&container.Config{Image: "peer", Cmd: []string{"ask", "none:1"}, AttachStderr: true}, nil, nil, nil, "")
		require.NoError(t, err)
		at, err := api.ContainerAttach(t.Context(), c.ID, container.AttachOptions{Stream: true, Stderr: true})
		require.NoError(t, err)
		defer at.Close()
		require.NoError(t, api.ContainerStart(t.Context(), c.ID, container.StartOptions{}))
		text, err := io.ReadAll(at.Reader)
		require.NoError(t, err)
		require.Contains(t, string(text), "lookup none")
	})
}

// What one daemon pushes, it pulls again; credentials are asked for; a tag moves.
func TestRegistry(t *testing.T) {
	d := dockertest.Daemon(t, dockertest.Options{})
	r := dockertest.Registry(t, dockertest.RegistryOptions{Near: d})
	api := d.Client()
	defer api.Close()
	done := func(out io.ReadCloser, err error) string {
		t.Helper()
		require.NoError(t, err)
		defer out.Close()
		text, err := io.ReadAll(out)
		require.NoError(t, err)
		return string(text)
	}
	pull := func(ref string) string {
		t.Helper()
		text := done(api.ImagePull(t.Context(), r.Host()+"/"+ref, image.PullOptions{}))
		require.NotContains(t, text, `"error"`)
		i, err := api.ImageInspect(t.Context(), r.Host()+"/"+ref)
		require.NoError(t, err)
		return i.ID
	}
	name := r.Host() + "/engine/peer:1"
	pushed := dockertest.Image(t, d.Host(), name, peer)
	require.NotContains(t, done(api.ImagePush(t.Context(), name, image.PushOptions{RegistryAuth: "e30="})), `"error"`)
	d.Prune()
	require.Equal(t, pushed, pull("engine/peer:1"))
	require.Equal(t, pushed, pull("engine/peer@"+r.Digest("engine/peer:1")))

	r.AddProgram(t, "engine/peer:1", peer, `"Env":["V=2"]`)
	moved := pull("engine/peer:1")
	require.NotEqual(t, pushed, moved)

	r.Fail(func(*http.Request) int { return http.StatusServiceUnavailable })
	_, err := api.ImagePull(t.Context(), r.Host()+"/engine/other:1", image.PullOptions{})
	require.Error(t, err)
}
