//go:build linux

package docker_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// behind is a master with a proxy between it and the daemon of the tests.
func behind(t *testing.T) (*dockertest.P, *bench) {
	api := newBench(t).api // skips
	p := dockertest.Proxy(t, api.DaemonHost(), dockertest.ProxyOptions{})
	t.Setenv("DOCKER_HOST", p.Host())
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	b := newMaster(t, api, dir)
	t.Cleanup(func() { p.Set(dockertest.ProxyOptions{}) })
	return p, b
}

// The daemon becomes an older one, and newer ones that do not speak the version before, under a master that runs:
// services are started, adopted, seen to end, and stopped as before.
func TestDaemonOfAnotherVersion(t *testing.T) {
	p, b := behind(t)
	oldest := oldestVersion(t, b)
	kept := b.start(t, service("t-kept", "run"))
	enginetest.Output(t, kept, "up")
	for n, v := range []dockertest.ProxyOptions{
		{Max: "1.30"}, {Min: "1.31", Max: "1.40"}, {Min: "1.41", Max: "1.51"}, {Min: "1.24", Max: "1.24"},
		{Min: "1.52", Max: "1.60"}, {},
	} {
		if v.Max != "" && versions.LessThan(v.Max, oldest) {
			continue
		}
		p.Set(v)
		if v.Min == "1.52" { // newer than the library: it is said, and taken for no outage
			_, err := b.Open(t.Context(), service("t-new", "run"))
			require.NotErrorIs(t, err, engine.ErrUnavailable)
			require.ErrorContains(t, err, "too old")
			continue
		}
		i := b.start(t, service("t-new"+string(rune('a'+n)), "count"))
		enginetest.Output(t, i, "n=3")
		_, memory := i.Stats(t.Context())
		require.Empty(t, memory.Error, v)
		i.Stop(t.Context())
		box, err := b.Open(t.Context(), service("t-kept", "run"))
		require.NoError(t, err)
		require.NoError(t, box.Close())
		fails := b.start(t, service("t-fails"+string(rune('a'+n)), "fail"))
		enginetest.Ended(t, fails)
		require.ErrorContains(t, fails.Exit().Err, "exit code: 3")
		require.False(t, fails.Exit().Interrupted)
	}
	requireRunning(t, kept, "another version was taken for the end of the service")
	p.Set(dockertest.ProxyOptions{Min: "1.41", Max: "1.51"})
	kept.Stop(t.Context())
	require.NoError(t, kept.Exit().Err)
	require.NotContains(t, b.log.String(), "services start when the docker daemon answers")
}

// A version changes between two requests of one start. The request is made once more, whole.
func TestVersionChangesDuringAStart(t *testing.T) {
	p, b := behind(t)
	box, err := b.Open(t.Context(), service("t-change", "run"))
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close()) }()
	p.Set(dockertest.ProxyOptions{Hold: of("/containers/create")})
	started := make(chan error, 1)
	go func() {
		i, err := box.Start(context.Background(), engine.Spec{Name: "t-change", Handle: "h"})
		if err == nil {
			i.Stop(context.Background())
		}
		started <- err
	}()
	older := "1.35"
	if oldest := oldestVersion(t, b); versions.LessThan(older, oldest) {
		older = oldest
	}
	p.Set(dockertest.ProxyOptions{Max: older})
	require.NoError(t, <-started)
}

// oldestVersion is the oldest one that the daemon behind the proxy speaks.
func oldestVersion(t *testing.T, b *bench) string {
	v, err := b.api.ServerVersion(t.Context())
	require.NoError(t, err)
	return v.MinAPIVersion
}

// of chooses requests by the end of their path.
func of(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path) }
}

// What the daemon says of a request is the service's error, at once. That it says nothing is nobody's.
func TestWhoseErrorItIs(t *testing.T) {
	p, b := behind(t)
	says := func(path string, status int) dockertest.ProxyOptions {
		return dockertest.ProxyOptions{Fail: func(r *http.Request) (int, string) {
			if of(path)(r) {
				return status, "because"
			}
			return 0, ""
		}}
	}
	for name, c := range map[string]struct {
		o    dockertest.ProxyOptions
		away bool
	}{
		"a request is wrong":          {says("/containers/create", 400), false},
		"it is refused":               {says("/start", 403), false},
		"the daemon fails":            {says("/start", 500), false},
		"a ping is refused":           {says("/_ping", 403), false},
		"a ping fails":                {says("/_ping", 500), true},
		"not now":                     {says("/containers/create", 503), true},
		"a connection ends":           {dockertest.ProxyOptions{Drop: of("/containers/create")}, true},
		"a connection ends later":     {dockertest.ProxyOptions{Drop: of("/start")}, true},
		"nothing is answered, nobody": {dockertest.ProxyOptions{Drop: of("")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p.Set(dockertest.ProxyOptions{})
			box, err := b.Open(t.Context(), service("t-whose", "run"))
			require.NoError(t, err)
			defer func() { require.NoError(t, box.Close()) }()
			p.Set(c.o)
			_, err = box.Start(t.Context(), engine.Spec{Name: "t-whose"})
			require.Error(t, err)
			if c.away {
				require.ErrorIs(t, err, engine.ErrUnavailable)
			} else {
				require.NotErrorIs(t, err, engine.ErrUnavailable)
				require.ErrorContains(t, err, "because")
			}
			p.Set(dockertest.ProxyOptions{})
			i, err := box.Start(t.Context(), engine.Spec{Name: "t-whose"})
			require.NoError(t, err)
			i.Stop(t.Context())
		})
	}
}

// A daemon that hangs is away, for a start that had begun too; when it goes on, the service starts.
func TestHungDaemonIsAway(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{})
	box, err := b.Open(t.Context(), service("t-hang", "run"))
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close()) }()
	d.Hang()
	_, err = box.Start(t.Context(), engine.Spec{Name: "t-hang"})
	require.ErrorIs(t, err, engine.ErrUnavailable)
	require.ErrorIs(t, b.Prepare(t.Context(), service("t-hang", "run")), engine.ErrUnavailable)
	d.Continue()
	i, err := box.Start(t.Context(), engine.Spec{Name: "t-hang"})
	require.NoError(t, err)
	d.Hang()
	d.Continue()
	requireRunning(t, i, "a pause of the daemon was taken for the end of the service")
	i.Stop(t.Context())
	require.False(t, i.Exit().Interrupted)
}

// STOPSIGNAL of an image asks its containers to end, where the service says nothing else.
func TestStopSignalOfTheImage(t *testing.T) {
	b := newBench(t)
	const name = "baetyl-engine-test-int:latest"
	conf := &container.Config{Image: testImage, StopSignal: "SIGINT"}
	c, err := b.api.ContainerCreate(t.Context(), conf, nil, nil, nil, "")
	require.NoError(t, err)
	_, err = b.api.ContainerCommit(t.Context(), c.ID, container.CommitOptions{Reference: name})
	require.NoError(t, err)
	require.NoError(t, b.api.ContainerRemove(t.Context(), c.ID, container.RemoveOptions{}))
	s := service("t-int", "int")
	s.Image = name
	i := b.start(t, s)
	enginetest.Output(t, i, "up")
	i.Stop(t.Context())
	require.NoError(t, i.Exit().Err)
	require.Contains(t, i.Output(), "asked")
}
