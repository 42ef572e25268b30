//go:build linux

package docker_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/docker"
	"github.com/baetyl/baetyl/utils/log"
)

// login writes what `docker login` does.
func login(t *testing.T, host string) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	auth := base64.StdEncoding.EncodeToString([]byte("edge:secret"))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600))
}

// A missing image is pulled with the credentials of docker's own configuration, and not without them.
func TestPull(t *testing.T) {
	b := newBench(t)
	r := dockertest.Registry(t, dockertest.RegistryOptions{User: "edge", Password: "secret"})
	host := r.Host()
	r.Add("engine/test:1", 1000)
	s := service("t-pulled", "run")
	s.Image = host + "/engine/test:1"
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	_, err := b.Resolve(t.Context(), s.Image, engine.Image{})
	require.ErrorContains(t, err, "pull image "+s.Image)
	login(t, host)
	found, err := b.Resolve(t.Context(), s.Image, engine.Image{})
	require.NoError(t, err)
	require.Regexp(t, "^"+host+"/engine/test@sha256:", found.Digest)
	require.Contains(t, b.log.String(), "image pulled in")
	require.NotContains(t, b.log.String(), "secret")
	_, err = b.api.ImageInspect(t.Context(), s.Image)
	require.NoError(t, err)
	_, err = b.api.ImageRemove(t.Context(), s.Image, image.RemoveOptions{})
	require.NoError(t, err)
}

// A disk that fills up while an image is pulled is an error that says so, and the daemon goes on.
func TestPullToFullDisk(t *testing.T) {
	d := dockertest.Daemon(t, dockertest.Options{Disk: 20 << 20})
	t.Setenv("DOCKER_HOST", d.Host())
	r := dockertest.Registry(t, dockertest.RegistryOptions{User: "edge", Password: "secret", Near: d})
	host := r.Host()
	r.Add("engine/big:1", 40<<20)
	login(t, host)
	e, err := docker.New(
		docker.Options{
			Workdir: t.TempDir(),
			Log:     log.Discard(),
			Settings: docker.Settings{
				Pull: docker.Pull{Policy: docker.PullMissing, Timeout: time.Minute, Parallel: 1},
			},
		},
	)
	require.NoError(t, err)
	defer e.Close()
	s := service("t-big", "run")
	s.Image = host + "/engine/big:1"
	_, err = e.Resolve(t.Context(), s.Image, engine.Image{})
	require.ErrorContains(t, err, "no space left on device")
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	_, err = api.Info(context.Background())
	require.NoError(t, err)
}
