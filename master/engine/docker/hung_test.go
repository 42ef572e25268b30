//go:build linux

package docker_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// A daemon that hangs: stopping ends within bounds, and the next master removes what could not be stopped.
func TestStopWhileTheDaemonHangs(t *testing.T) {
	b, p, m := hung(t)
	box, err := m.Open(t.Context(), service("t-hung", "run"))
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: "t-hung", Handle: "h1"})
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	p.Set(dockertest.ProxyOptions{Hold: func(*http.Request) bool { return true }})
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	i.Stop(ctx)
	require.Less(t, time.Since(began), time.Minute)
	require.ErrorContains(t, i.Exit().Err, "docker daemon does not answer")
	require.NoError(t, box.Close())
	p.Set(dockertest.ProxyOptions{})
	require.NoError(t, newMaster(t, b.api, b.dir).Reap(t.Context(), nil, nil))
	_, err = b.api.ContainerInspect(context.Background(), i.Record().Container.ID)
	require.Error(t, err)
}

// A start whose caller goes ends within bounds. What the daemon starts after all is removed then.
func TestStartThatOutlivesItsCaller(t *testing.T) {
	b, p, m := hung(t)
	box, err := m.Open(t.Context(), service("t-late", "run"))
	require.NoError(t, err)
	p.Set(dockertest.ProxyOptions{Hold: func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/containers/create")
	}})
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = box.Start(ctx, engine.Spec{Name: "t-late", Handle: "h2"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), time.Minute)
	require.NoError(t, box.Close())

	since := time.Now()
	p.Set(dockertest.ProxyOptions{})
	until := strconv.FormatInt(since.Add(time.Minute).Unix(), 10)
	said, failed := b.api.Events(t.Context(), events.ListOptions{
		Since: strconv.FormatInt(since.Add(-time.Second).Unix(), 10), Until: until,
		Filters: filters.NewArgs(filters.Arg("label", "baetyl.handle=h2")),
	})
	var actions []string
	for !slices.Contains(actions, "destroy") && !slices.Contains(actions, "remove") { // podman's word
		select {
		case e := <-said:
			actions = append(actions, string(e.Action))
		case err := <-failed:
			t.Fatalf("the late container is not removed, only %q: %v", actions, err)
		}
	}
	require.Contains(t, actions, "create")
}

func hung(t *testing.T) (b *bench, p *dockertest.P, m *bench) {
	b = newBench(t)
	p = dockertest.Proxy(t, b.api.DaemonHost(), dockertest.ProxyOptions{})
	t.Setenv("DOCKER_HOST", p.Host())
	m = newMaster(t, b.api, b.dir)
	t.Cleanup(func() { p.Set(dockertest.ProxyOptions{}) }) // before the containers are removed
	return b, p, m
}
