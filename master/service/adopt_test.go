package service_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// boot is what an application does at the start of a master: specs are its services.
func (b *bench) boot(t *testing.T, specs ...engine.Service) {
	t.Helper()
	require.NoError(t, b.TakeOver(t.Context(), specs))
	for _, s := range specs {
		require.NoError(t, b.Start(t.Context(), s))
	}
}

// replace lets the next master take over.
func (b *bench) replace(t *testing.T, specs ...engine.Service) {
	t.Helper()
	b.Leave()
	b.next()
	b.boot(t, specs...)
}

func TestNextMasterAdopts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1), spec("many", 3), spec("f", 0)}
		b.boot(t, specs...)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", map[string]string{"BAETYL_A": "b"}, nil))
		token := b.fake.Env("hub")[masterapi.EnvServiceToken]
		before, shown := b.fake.Records(), b.instance(t, "hub", "hub")
		for range 3 {
			time.Sleep(time.Minute)
			b.replace(t, specs...)
			require.Equal(t, before, b.fake.Records())
			require.Equal(t, shown.StartTime, b.instance(t, "hub", "hub").StartTime)
			require.Equal(t, masterapi.StatusRunning, b.instance(t, "f", "f.x").Status)
			_, ok := b.Authenticate("hub", token)
			require.True(t, ok, "the token goes on")
		}
		b.fake.End("f.x", errBoom)
		time.Sleep(2 * time.Second)
		require.Equal(t, "b", b.fake.Env("f.x")["BAETYL_A"], "a restart has the variables of its request")
		require.NotContains(t, b.fake.Env("f.x"), masterapi.EnvServiceToken)
		require.NoError(t, b.StopInstance(t.Context(), "f", "f.x", nil))
		require.Equal(t, []string{"hub", "many", "many.i1", "many.i2"}, b.fake.Running())
	})
}

// A service that changed, that is gone, or of which another number of replicas is wanted, is ended; others stay.
func TestNextMasterHasAnotherApplication(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		mounted := func(path string) engine.Service {
			s := spec("mounted", 1)
			s.Volumes = map[string]app.Volume{"v": {Name: "v", Path: path}}
			return s
		}
		b.boot(t, spec("same", 1), spec("changed", 1), spec("gone", 1), spec("more", 1), mounted("a"))
		before := b.fake.Records()
		token := b.fake.Env("changed")[masterapi.EnvServiceToken]
		b.replace(t, spec("same", 1), spec("more", 2), mounted("b"),
			spec("changed", 1, func(s *app.Service) { s.Args = []string{"x"} }), spec("new", 1))
		after := b.fake.Records()
		require.Equal(t, before["same"], after["same"])
		for _, name := range []string{"changed", "more", "mounted"} {
			require.NotEqual(t, before[name].Handle, after[name].Handle, name)
		}
		require.Equal(t, []string{"changed", "more", "more.i1", "mounted", "new", "same"}, b.fake.Running())
		_, ok := b.Authenticate("changed", token)
		require.False(t, ok)
		reaped, kept := b.fake.Reaped()
		require.Len(t, reaped, 5)
		require.Len(t, kept, 1)
	})
}

// What ended while no master ran is treated by its restart policy, with its real exit.
func TestEndedMeanwhile(t *testing.T) {
	for policy, want := range map[string]struct {
		exit   error
		status string
		starts int
	}{
		app.RestartAlways:    {nil, masterapi.StatusRunning, 2},
		app.RestartOnFailure: {nil, masterapi.StatusExited, 1},
		app.RestartNo:        {errors.New("exit code 3"), masterapi.StatusFailed, 1},
	} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				s := spec("a", 1, func(s *app.Service) { s.Restart.Policy = policy })
				b.boot(t, s)
				b.Leave()
				b.fake.End("a", want.exit)
				b.next()
				b.boot(t, s)
				for range 3 { // and the next masters know that it was treated
					time.Sleep(time.Minute)
					i := b.instance(t, "a", "a")
					require.Equal(t, want.status, i.Status)
					if want.exit != nil {
						require.Equal(t, want.exit.Error(), i.Error)
					}
					require.Equal(t, want.starts, b.fake.Starts("a"))
					b.replace(t, s)
				}
			})
		})
	}
}

// A crash loop goes on over restarts of the master: same number of restarts, same backoff, given up at the same time.
func TestHistoryGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		s := spec("a", 1, func(s *app.Service) { s.Restart.Retry.Max = 4 })
		b.boot(t, s)
		for n, delay := range []time.Duration{1, 2, 4, 8} {
			b.fake.End("a", errBoom)
			synctest.Wait()
			ended := time.Now() // the looks below take time too: inspect waits for a measurement
			until := func(share float64) {
				time.Sleep(time.Until(ended.Add(time.Duration(share * float64(delay*time.Second)))))
			}
			b.replace(t, s)
			i := b.instance(t, "a", "a")
			require.Equal(t, masterapi.StatusRestarting, i.Status)
			require.Equal(t, "boom", i.Error)
			require.Equal(t, "instance a: boom", b.Inspect()[0].Error)
			until(0.8)
			b.replace(t, s)
			require.Equal(t, n+1, b.fake.Starts("a"), "too early")
			until(1.2)
			require.Equal(t, n+2, b.fake.Starts("a"), "too late")
			b.replace(t, s)
			require.Equal(t, n+1, b.instance(t, "a", "a").Restarts)
		}
		b.fake.End("a", errBoom)
		synctest.Wait()
		b.replace(t, s)
		time.Sleep(time.Hour)
		i := b.instance(t, "a", "a")
		require.Equal(t, masterapi.StatusFailed, i.Status)
		require.Equal(t, "given up after 4 restarts: boom", i.Error)
		require.Equal(t, 5, b.fake.Starts("a"))
	})
}

func TestServiceThatCannotStartWaitsOn(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.fake.FailStart("a", errBoom)
		require.ErrorContains(t, b.Start(t.Context(), spec("a", 1)), "boom")
		time.Sleep(4 * time.Second) // tries after 0, 1 and 3 seconds; the next one is after 7
		require.Equal(t, 3, b.fake.Starts("a"))
		b.Leave()
		b.next()
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{spec("a", 1)}))
		synctest.Wait()
		require.Equal(t, masterapi.StatusFailed, b.instance(t, "a", "a").Status)
		require.Equal(t, "start: boom", b.instance(t, "a", "a").Error)
		time.Sleep(2 * time.Second)
		require.Equal(t, 3, b.fake.Starts("a"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 4, b.fake.Starts("a"))
	})
}

// What could not start at its last try has left nothing in the engine. It is neither forgotten nor begun anew: given up
// it stays given up, and its restarts count on.
func TestFailedStartsAreRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		limited := func(s *app.Service) { s.Restart.Retry.Max = 2 }
		specs := []engine.Service{spec("a", 1, limited), spec("waits", 1), spec("f", 0, limited)}
		b.boot(t, specs...)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil))
		for _, name := range []string{"a", "waits", "f.x"} {
			b.fake.FailStart(name, errBoom)
			b.fake.End(name, errBoom)
		}
		// Starts after 1 and 3 seconds; the next one of waits is after 7, a tenth more or less. The loop takes 1.6 seconds:
		// nothing is measured here, so that each Inspect waits for its 80 ms.
		time.Sleep(4 * time.Second)
		for n := range 5 {
			b.replace(t, specs...)
			for service, name := range map[string]string{"a": "a", "f": "f.x"} {
				i := b.instance(t, service, name)
				require.Equal(t, masterapi.StatusFailed, i.Status, "%s, master %d", name, n)
				require.Equal(t, "given up after 2 restarts: start: boom", i.Error)
				require.Equal(t, 2, i.Restarts)
				require.Equal(t, 3, b.fake.Starts(name))
			}
			require.Equal(t, "instance a: given up after 2 restarts: start: boom", b.Inspect()[0].Error)
			require.Equal(t, 2, b.instance(t, "waits", "waits").Restarts)
			require.Equal(t, 3, b.fake.Starts("waits"))
		}
		b.Leave()
		time.Sleep(time.Hour) // no master runs, and the time for the next start passes
		b.next()
		require.NoError(t, b.TakeOver(t.Context(), specs))
		synctest.Wait()
		require.Equal(t, 4, b.fake.Starts("waits"))
		require.Equal(t, 3, b.instance(t, "waits", "waits").Restarts)
		require.Equal(t, 3, b.fake.Starts("a"))
		time.Sleep(7 * time.Second) // the fourth failure in a row: 8 seconds, a tenth more or less
		require.Equal(t, 4, b.fake.Starts("waits"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 5, b.fake.Starts("waits"))
	})
}

// After a start of the machine everything begins anew, also what had been given up. Dynamic instances are gone.
func TestReboot(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		once := spec("once", 1, func(s *app.Service) { s.Restart.Policy = app.RestartNo })
		specs := []engine.Service{spec("a", 1), once, spec("f", 0)}
		b.boot(t, specs...)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil))
		b.fake.End("once", nil)
		b.fake.End("a", errBoom)
		time.Sleep(time.Minute)
		require.Equal(t, 1, b.instance(t, "a", "a").Restarts)
		b.Leave()
		b.fake.Reboot()
		b.booted = "another"
		b.next()
		b.boot(t, specs...)
		require.Equal(t, []string{"a", "once"}, b.fake.Running())
		require.Zero(t, b.instance(t, "a", "a").Restarts)
		for _, s := range b.Inspect() {
			require.Empty(t, s.Error)
			require.Equal(t, s.Name != "f", len(s.Instances) == 1, s.Name)
		}
	})
}

// An instance that cannot be adopted yet, as when the docker daemon is away, is not touched, and the others go on.
func TestAdoptionIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("a", 1), spec("b", 1), spec("c", 1))
		before := b.fake.Records()
		b.fake.FailAdopt("a", errBoom)
		b.fake.FailOpen("c", errBoom)
		b.Leave()
		b.next()
		specs := []engine.Service{spec("a", 1), spec("b", 1), spec("c", 1)}
		require.NoError(t, b.TakeOver(t.Context(), specs))
		for _, s := range specs {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := b.Start(ctx, s)
			cancel()
			require.Equal(t, s.Name == "b", err == nil, "%v", err)
		}
		require.Equal(t, before, b.fake.Records())
		require.Equal(t, "adopt: boom", b.instance(t, "a", "a").Error)
		require.Equal(t, masterapi.StatusRunning, b.instance(t, "a", "a").Status)
		require.NoError(t, b.Stop(t.Context(), "c"), "what was never adopted can be stopped")
		require.Equal(t, []string{"a", "b"}, b.fake.Running())

		b.fake.FailAdopt("a", nil)
		b.fake.FailOpen("c", nil)
		time.Sleep(10 * time.Second)
		require.Empty(t, b.instance(t, "a", "a").Error)
		require.Equal(t, before["a"], b.fake.Records()["a"])
	})
}

// A master may leave while something starts: it is undone, or the next one finds it.
func TestLeaveDuringStarts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("a", 2), spec("f", 0)}
		b.boot(t, specs[1])
		b.fake.SlowStart(time.Minute)
		started := make(chan error, 2)
		go func() { started <- b.Start(context.Background(), specs[0]) }()
		go func() { started <- b.StartInstance(context.Background(), "f", "f.x", nil, nil) }()
		synctest.Wait()
		b.Leave()
		require.ErrorIs(t, <-started, service.ErrStopped)
		require.ErrorIs(t, <-started, service.ErrStopped)
		require.ErrorIs(t, b.Start(t.Context(), spec("late", 1)), service.ErrStopped)
		require.ErrorIs(t, b.StartInstance(t.Context(), "f", "f.y", nil, nil), service.ErrStopped)
		require.NoError(t, b.Stop(t.Context(), "f"), "nothing is stopped any more")
		require.Empty(t, b.fake.Running())
		b.fake.SlowStart(0)
		b.next()
		b.boot(t, specs...)
		require.Equal(t, []string{"a", "a.i1"}, b.fake.Running())
	})
}

// A dynamic instance that was being stopped when the master ended is not wanted: nobody asks for that again.
func TestLeaveDuringAStop(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("f", 0))
		for _, name := range []string{"f.x", "f.y"} {
			require.NoError(t, b.StartInstance(t.Context(), "f", name, nil, nil))
		}
		b.fake.IgnoreStop()
		stopped := make(chan error, 1)
		go func() { stopped <- b.StopInstance(context.Background(), "f", "f.x", nil) }()
		synctest.Wait()
		require.Equal(t, []string{"f.x", "f.y"}, b.fake.Running())
		b.replace(t, spec("f", 0))
		require.Equal(t, []string{"f.y"}, b.fake.Running())
		require.NoError(t, <-stopped)
	})
}

func TestWarningsAreShown(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("a", 1))
		require.Empty(t, b.instance(t, "a", "a").Warnings)
		b.fake.Warn("memory is not limited")
		require.Equal(t, []string{"memory is not limited"}, b.instance(t, "a", "a").Warnings)
	})
}
