//go:build linux

package docker_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// awaitStatus waits until the daemon's check says want.
func awaitStatus(t *testing.T, i engine.Instance, want string) (output string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		status, output, changed, err := i.(engine.Checked).Checked(ctx)
		require.NoError(t, err)
		if status == want {
			return output
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the status is %q, not %q", status, want)
		}
	}
}

// What docker finds out with a health check of its own is heard, in both directions.
func TestCheckedByTheDaemon(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	defer func() { cancel(); <-done }()
	check := func(name, verb string) engine.Instance {
		s := service(name, "run")
		s.Tmpfs = app.Texts{"/fast"}
		s.Healthcheck = &app.Healthcheck{
			Test: app.Test{"CMD", "/actor", verb, "/fast/well"}, Interval: time.Second, Retries: 1,
		}
		return b.start(t, s)
	}
	i := check("t-check", "exists")
	awaitStatus(t, i, masterapi.HealthUnhealthy)
	created, err := b.api.ContainerExecCreate(t.Context(), i.Record().Container.ID,
		container.ExecOptions{Cmd: []string{"/actor", "write", "/fast/well"}})
	require.NoError(t, err)
	require.NoError(t, b.api.ContainerExecStart(t.Context(), created.ID, container.ExecStartOptions{}))
	awaitStatus(t, i, masterapi.HealthHealthy)
	require.Contains(t, awaitStatus(t, check("t-ill", "fail"), masterapi.HealthUnhealthy), "boom")

	none := b.start(t, service("t-none", "run"))
	awaitStatus(t, none, "")
	s := service("t-own", "run") // the master's probe is in the place of it
	s.Healthcheck = &app.Healthcheck{Action: app.Action{TCP: &app.ProbeTCP{Endpoint: app.Endpoint{Port: 1}}}}
	own := b.start(t, s)
	c, err := b.api.ContainerInspect(t.Context(), own.Record().Container.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"NONE"}, c.Config.Healthcheck.Test)
	awaitStatus(t, own, "")
}

// An instance is reached at its own address, also where no port is published.
func TestDial(t *testing.T) {
	b := newBench(t)
	dial := func(i engine.Instance, port int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := i.Dial(ctx, app.Endpoint{Port: port})
		if err != nil {
			return err
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, i.Record().Instance, string(text))
		return nil
	}
	one := b.start(t, service("t-one", "listen", "7000", "t-one"))
	two := b.start(t, service("t-two", "listen", "7000", "t-two"))
	enginetest.Output(t, one, "up")
	enginetest.Output(t, two, "up")
	require.NoError(t, dial(one, 7000))
	require.NoError(t, dial(two, 7000))
	require.ErrorContains(t, dial(one, 7001), "refused")

	host := service("t-host", "listen", "27017", "t-host")
	host.NetworkMode = "host"
	i := b.start(t, host)
	enginetest.Output(t, i, "up")
	require.NoError(t, dial(i, 27017))
	none := service("t-lonely", "run")
	none.NetworkMode = "none"
	require.ErrorContains(t, dial(b.start(t, none), 7000), "no address in any network")
}
