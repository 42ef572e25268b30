// Package enginetest has the suite that every engine passes, and an engine without processes for tests of the
// supervisor.
package enginetest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
)

// Program is what an instance of the suite does. An engine's test offers each as a package or an image.
type Program int

// The programs.
const (
	Runs        Program = iota // writes "up", then runs until it is asked to end
	Succeeds                   // ends with success
	Fails                      // writes "boom" and ends with status 3
	IgnoresTerm                // writes "up", then runs and ignores SIGTERM
	Leaves                     // starts a child in the background, writes "up", and ends with success
	CannotRun                  // has no program
	HasShell                   // as Runs, in the company of sh and the usual programs
	PrintsToken                // writes BAETYL_SERVICE_TOKEN=… and X=…, then runs
)

// Factory makes an engine and the services that run on it.
type Factory struct {
	New func(t *testing.T) engine.Engine
	// Next makes the engine of the next master in the place of e, which nobody uses any more; nil: the engine adopts
	// nothing.
	Next    func(t *testing.T, e engine.Engine) engine.Engine
	Service func(t *testing.T, name string, p Program) engine.Service
	// Alive tells whether anything of the instance runs on the host.
	Alive func(r engine.Record) bool
}

// Run checks an engine.
func Run(t *testing.T, f Factory) {
	open := func(t *testing.T, p Program) engine.Sandbox {
		e := f.New(t)
		box, err := e.Open(t.Context(), f.Service(t, "svc", p))
		require.NoError(t, err)
		return box
	}
	start := func(t *testing.T, box engine.Sandbox, name string) engine.Instance {
		i, err := box.Start(t.Context(), engine.Spec{Name: name, Handle: handle(), Env: map[string]string{"X": "1=2"}})
		require.NoError(t, err)
		return i
	}

	t.Run("an instance runs until it is stopped", func(t *testing.T) {
		box := open(t, Runs)
		a, b := start(t, box, "svc"), start(t, box, "svc.i1")
		Output(t, a, "up")
		Output(t, b, "up")
		require.NotEqual(t, a.Record(), b.Record())
		require.Equal(t, "svc", a.Record().Service)
		require.True(t, f.Alive(a.Record()))
		cpu, mem := a.Stats(t.Context())
		require.Empty(t, cpu.Error)
		require.Positive(t, mem.Used)

		stop(t, a, time.Minute)
		require.False(t, f.Alive(a.Record()))
		require.True(t, f.Alive(b.Record()), "the other instance is not touched")
		stop(t, b, time.Minute)
		require.NoError(t, box.Close())
	})
	t.Run("commands", func(t *testing.T) {
		box := open(t, HasShell)
		i := start(t, box, "svc")
		Output(t, i, "up")
		runExec(t, i)
		t.Run("probes", func(t *testing.T) { runProbes(t, i) })
		ended := make(chan error, 1)
		var out Buffer
		go func() {
			_, err := i.Exec(t.Context(), engine.Exec{Args: []string{"sh", "-c", "echo up; sleep 1000"}, Stdout: &out})
			ended <- err
		}()
		out.Await(t, "up")
		stop(t, i, time.Minute)
		require.ErrorIs(t, <-ended, engine.ErrEnded)
		_, err := i.Exec(t.Context(), engine.Exec{Args: []string{"true"}})
		require.ErrorIs(t, err, engine.ErrEnded)
		require.NoError(t, box.Close())
	})
	t.Run("success and failure are distinguished", func(t *testing.T) {
		box := open(t, Succeeds)
		i := start(t, box, "svc")
		Ended(t, i)
		require.NoError(t, i.Exit().Err)
		stop(t, i, time.Minute) // it is held until then
		require.NoError(t, box.Close())

		box = open(t, Fails)
		i = start(t, box, "svc")
		Ended(t, i)
		require.ErrorContains(t, i.Exit().Err, "exit code")
		require.ErrorContains(t, i.Exit().Err, "3")
		require.Contains(t, i.Output(), "boom")
		stop(t, i, time.Minute)
		require.NoError(t, box.Close())
	})
	t.Run("an instance that ignores SIGTERM is killed", func(t *testing.T) {
		box := open(t, IgnoresTerm)
		i := start(t, box, "svc")
		Output(t, i, "up")
		stop(t, i, 200*time.Millisecond)
		require.False(t, f.Alive(i.Record()))
		require.Error(t, i.Exit().Err)
		require.NoError(t, box.Close())
	})
	t.Run("children do not outlive their instance", func(t *testing.T) {
		box := open(t, Leaves)
		i := start(t, box, "svc")
		Ended(t, i)
		require.NoError(t, i.Exit().Err)
		require.False(t, f.Alive(i.Record()))
		stop(t, i, time.Minute)
		require.NoError(t, box.Close())
	})
	t.Run("a frozen instance goes on, and can be stopped", func(t *testing.T) {
		box := open(t, Runs)
		i := start(t, box, "svc")
		Output(t, i, "up")
		for range 2 { // twice is no error
			require.NoError(t, i.Freeze(t.Context()))
		}
		require.True(t, f.Alive(i.Record()))
		for range 2 {
			require.NoError(t, i.Thaw(t.Context()))
		}
		began := time.Now()
		stop(t, i, time.Minute)
		require.Less(t, time.Since(began), time.Minute, "it was killed")
		require.NoError(t, i.Freeze(t.Context()), "it has ended")
		require.NoError(t, i.Thaw(t.Context()))
		require.NoError(t, box.Close())
	})
	t.Run("what cannot run is an error", func(t *testing.T) {
		box := open(t, CannotRun)
		_, err := box.Start(t.Context(), engine.Spec{Name: "svc"})
		require.Error(t, err)
		require.NoError(t, box.Close())
	})
	t.Run("the environment is the given one", func(t *testing.T) {
		t.Setenv("BAETYL_SERVICE_TOKEN", "of the test itself")
		box := open(t, PrintsToken)
		i := start(t, box, "svc")
		Output(t, i, "X=1=2")
		Output(t, i, "BAETYL_SERVICE_TOKEN=")
		stop(t, i, time.Minute)
		require.NoError(t, box.Close())
	})
	t.Run("nothing starts after the context has ended", func(t *testing.T) {
		box := open(t, Runs)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := box.Start(ctx, engine.Spec{Name: "svc"})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, box.Close())
	})
	t.Run("a later master ends what an earlier one left", func(t *testing.T) {
		e := f.New(t)
		box, err := e.Open(t.Context(), f.Service(t, "svc", Runs))
		require.NoError(t, err)
		i := start(t, box, "svc")
		Output(t, i, "up")
		require.NoError(t, e.Reap(t.Context(), []engine.Record{i.Record()}, nil))
		require.False(t, f.Alive(i.Record()))
		Ended(t, i)
		stop(t, i, time.Minute)
		require.NoError(t, box.Close())
	})
	if f.Next != nil {
		t.Run("adoption", func(t *testing.T) { runAdoption(t, f) })
	}
}

// handle returns one that no other start has.
func handle() string { return rand.Text() }

func stop(t *testing.T, i engine.Instance, grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	i.Stop(ctx)
	select {
	case <-i.Done():
	default:
		t.Fatal("Stop returned before the instance was done")
	}
}

// Ended waits until an instance has ended.
func Ended(t *testing.T, i engine.Instance) {
	select {
	case <-i.Done():
	case <-time.After(20 * time.Second):
		t.Fatalf("instance did not end; it wrote %q", i.Output())
	}
}

// Output waits until an instance has written a line.
func Output(t *testing.T, i engine.Instance, line string) {
	if !assert.Eventually(t, func() bool { return slices.Contains(i.Output(), line) }, time.Minute, 5*time.Millisecond) {
		t.Fatalf("line %q is missing in %q", line, i.Output())
	}
}
