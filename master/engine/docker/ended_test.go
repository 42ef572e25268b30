//go:build linux

package docker_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/dockertest"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// next is the master after b, which keeps what is recorded.
func (b *bench) next(t *testing.T, records ...engine.Record) *bench {
	t.Helper()
	next := newMaster(t, b.api, b.dir)
	require.NoError(t, next.Reap(t.Context(), records, records))
	return next
}

// adopt returns the instance of a record.
func (b *bench) adopt(t *testing.T, s engine.Service, r engine.Record) engine.Instance {
	t.Helper()
	box, err := b.Open(t.Context(), s)
	require.NoError(t, err)
	i, err := box.Adopt(t.Context(), engine.Spec{Name: s.Name, Handle: r.Handle}, r)
	require.NoError(t, err)
	t.Cleanup(func() {
		i.Stop(context.Background())
		require.NoError(t, box.Close())
	})
	return i
}

// The end of a daemon that does not keep its containers ends no service: whatever they do when they are asked, whether
// the master saw it or came later.
func TestEndOfTheDaemonIsNoneOfTheService(t *testing.T) {
	for name, end := range map[string]func(*dockertest.D){
		"stopped": (*dockertest.D).Stop, "killed": (*dockertest.D).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			d, b := withDaemon(t, dockertest.Options{})
			services := []engine.Service{service("t-asked", "run"), service("t-killed", "deaf"), service("t-dies", "count")}
			var seen []engine.Instance
			for _, s := range services {
				i := b.start(t, s)
				seen = append(seen, i)
			}
			enginetest.Output(t, seen[0], "up")
			enginetest.Output(t, seen[1], "up")
			enginetest.Output(t, seen[2], "n=1")
			end(d)
			d.Start()
			next := b.next(t, seen[0].Record(), seen[1].Record(), seen[2].Record())
			for n, i := range seen {
				enginetest.Ended(t, i)
				require.True(t, i.Exit().Interrupted, "%s: %v", services[n].Name, i.Exit().Err)
				require.ErrorContains(t, i.Exit().Err, "the docker daemon ended")
				later := next.adopt(t, services[n], i.Record())
				require.True(t, isDone(later), "it had ended before")
				if name == "stopped" && services[n].Name == "t-dies" { // it ends with code 2, which may be its own failure
					continue
				}
				require.True(t, later.Exit().Interrupted, "%s: %v", services[n].Name, later.Exit().Err)
			}
		})
	}
}

func isDone(i engine.Instance) bool {
	select {
	case <-i.Done():
		return true
	default:
		return false
	}
}

// A service that failed before, between or after the ends of daemons has failed.
func TestFailureIsNoEndOfTheDaemon(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{})
	failed := b.start(t, service("t-failed", "fail"))
	enginetest.Ended(t, failed)
	require.False(t, failed.Exit().Interrupted)
	d.Stop()
	d.Start()
	later := b.next(t, failed.Record()).adopt(t, service("t-failed", "fail"), failed.Record())
	require.False(t, later.Exit().Interrupted, later.Exit().Err)
	require.ErrorContains(t, later.Exit().Err, "exit code: 3")

	after := b.start(t, service("t-after", "fail"))
	enginetest.Ended(t, after)
	require.False(t, after.Exit().Interrupted)
}

// A daemon that keeps its containers ends none: what ends meanwhile has ended by itself.
func TestEndWhileTheDaemonIsAway(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{LiveRestore: true})
	kept, ends := b.start(t, service("t-kept", "run")), b.start(t, service("t-ends", "run"))
	enginetest.Output(t, ends, "up")
	c, err := b.api.ContainerInspect(t.Context(), ends.Record().Container.ID)
	require.NoError(t, err)
	d.Stop()
	require.NoError(t, syscall.Kill(c.State.Pid, syscall.SIGKILL))
	d.Start()
	enginetest.Ended(t, ends)
	require.False(t, ends.Exit().Interrupted)
	require.Error(t, ends.Exit().Err)
	requireRunning(t, kept, "the daemon's end was taken for that of the service")
}

// A container that the daemon does not know any more, since it is another one, was not removed by somebody. One that
// was removed by hand, or stopped, is the restart policy's.
func TestContainerIsGone(t *testing.T) {
	d, b := withDaemon(t, dockertest.Options{})
	removed, stopped := b.start(t, service("t-removed", "run")), b.start(t, service("t-stopped", "run"))
	lost := b.start(t, service("t-lost", "run"))
	enginetest.Output(t, stopped, "up")
	err := b.api.ContainerRemove(t.Context(), removed.Record().Container.ID, container.RemoveOptions{Force: true})
	require.NoError(t, err)
	enginetest.Ended(t, removed)
	require.False(t, removed.Exit().Interrupted)
	require.NoError(t, b.api.ContainerStop(t.Context(), stopped.Record().Container.ID, container.StopOptions{}))
	enginetest.Ended(t, stopped)
	require.False(t, stopped.Exit().Interrupted)

	d.Replace()
	enginetest.Ended(t, lost)
	require.True(t, lost.Exit().Interrupted, lost.Exit().Err)
}
