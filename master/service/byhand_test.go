package service_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

var (
	uid   = 1000
	alice = masterapi.By{UID: &uid, User: "alice"}
)

// stopsFile is where the bench keeps which services are stopped by hand.
func (b *bench) stopsFile() string { return filepath.Join(filepath.Dir(b.records), "stopped.json") }

// What is stopped by hand stays so over masters and reboots, whoever starts the application again, until somebody
// starts it.
func TestStoppedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("a", 2), spec("b", 1)}
		start := func() {
			require.NoError(t, b.TakeOver(t.Context(), specs))
			for _, s := range specs {
				require.NoError(t, b.Start(t.Context(), s))
			}
		}
		start()
		require.ErrorIs(t, b.StopService("zzz", alice), service.ErrNotFound)
		require.NoError(t, b.StopService("a", alice))
		require.Equal(t, []string{"b"}, b.fake.Running())
		since := b.Inspect()[0].Stopped
		require.Equal(t, alice, since.By)
		require.Nil(t, b.Inspect()[1].Stopped)
		require.NoError(t, b.AwaitHealthy(t.Context(), 0, "a", "b"), "nobody waits for it")
		time.Sleep(time.Minute)
		require.NoError(t, b.StopService("a", masterapi.By{User: "bob"}))
		require.Equal(t, since, b.Inspect()[0].Stopped, "it was stopped already")

		b.Leave()
		b.next()
		start()
		require.Equal(t, []string{"b"}, b.fake.Running())
		require.Equal(t, since, b.Inspect()[0].Stopped)

		b.Leave()
		b.fake.Reboot()
		b.booted = "another"
		b.next()
		start()
		require.Equal(t, []string{"b"}, b.fake.Running())

		require.NoError(t, b.StartService(t.Context(), "a"))
		require.Equal(t, []string{"a", "a.i1", "b"}, b.fake.Running())
		require.Nil(t, b.Inspect()[0].Stopped)
		require.NoFileExists(t, b.stopsFile())
		b.Leave()
		b.next()
		start()
		require.Equal(t, []string{"a", "a.i1", "b"}, b.fake.Running())
	})
}

// A master that was killed before it had ended all instances has recorded that the service is stopped.
func TestKilledWhileItStopsByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{spec("a", 1)}))
		require.NoError(t, b.Start(t.Context(), spec("a", 1)))
		var recorded []byte
		before, err := os.ReadFile(b.records)
		require.NoError(t, err)
		require.NoError(t, b.StopService("a", alice))
		recorded, err = os.ReadFile(b.stopsFile())
		require.NoError(t, err)
		require.NoError(t, b.StartService(t.Context(), "a"))
		b.Leave()
		require.NoError(t, os.WriteFile(b.records, before, 0o600))
		require.NoError(t, os.WriteFile(b.stopsFile(), recorded, 0o600))
		b.next()
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{spec("a", 1)}))
		require.NoError(t, b.Start(t.Context(), spec("a", 1)))
		require.NotNil(t, b.Inspect()[0].Stopped)
		require.NoError(t, b.StartService(t.Context(), "a"))
	})
}

// An update that changes the service starts it; one that is rolled back finds it stopped again.
func TestUpdateOfAServiceThatIsStoppedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		old, changed := spec("a", 1), spec("a", 1, func(s *app.Service) { s.Args = []string{"x"} })
		change := func(to engine.Service) {
			require.NoError(t, b.Stop(t.Context(), "a"))
			require.NoError(t, b.Start(t.Context(), to))
		}
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{old}))
		require.NoError(t, b.Start(t.Context(), old))
		require.NoError(t, b.StopService("a", alice))
		change(old) // as when its image means another one
		require.Empty(t, b.fake.Running())

		change(changed)
		require.Equal(t, []string{"a"}, b.fake.Running())
		change(old)
		b.Settled()
		require.Empty(t, b.fake.Running(), "the update was rolled back")

		change(changed)
		b.Settled()
		require.Equal(t, []string{"a"}, b.fake.Running())
		require.NoFileExists(t, b.stopsFile())
		change(old)
		require.Equal(t, []string{"a"}, b.fake.Running())
	})
}

// An instance that waits for its next start, or was given up, begins anew.
func TestStartAndRestartByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 1, func(s *app.Service) { s.Restart.Retry.Max = 1 })))
		for range 2 {
			b.fake.End("a", errBoom)
			synctest.Wait()
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		require.Equal(t, masterapi.StatusFailed, b.instance(t, "a", "a").Status)
		require.NoError(t, b.StartService(t.Context(), "a"))
		require.Equal(t, masterapi.StatusRunning, b.instance(t, "a", "a").Status)
		starts := b.fake.Starts("a")
		require.NoError(t, b.StartService(t.Context(), "a"))
		require.Equal(t, starts, b.fake.Starts("a"), "it runs already")

		b.fake.FailStart("a", errBoom)
		require.ErrorIs(t, b.RestartService(t.Context(), "a"), errBoom)
		require.Equal(t, masterapi.StatusFailed, b.instance(t, "a", "a").Status)
		b.fake.FailStart("a", nil)
		require.NoError(t, b.RestartService(t.Context(), "a"))
		require.Zero(t, b.instance(t, "a", "a").Restarts)
	})
}

func TestDynamicInstancesOfAServiceThatIsStoppedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("f", 0)))
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x.1", nil, nil))
		require.NoError(t, b.StopService("f", alice))
		require.Empty(t, b.fake.Running())
		err := b.StartInstance(t.Context(), "f", "f.x.1", nil, nil)
		require.ErrorIs(t, err, service.ErrByHand)
		require.ErrorContains(t, err, "by alice since")
		require.NoError(t, b.StopInstance(t.Context(), "f", "f.x.1", nil))
		require.NoError(t, b.StartService(t.Context(), "f"))
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x.1", nil, nil))
	})
}

// Whatever the disk does, a stop or start that is reported done holds in the next master.
func TestStopsWithDiskFaults(t *testing.T) {
	faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{fake: enginetest.NewFake(), records: filepath.Join(d.Dir(), "i.json"), booted: "never", disk: d.Disk()}
			boot := func() {
				b.manager()
				_ = b.TakeOver(t.Context(), []engine.Service{spec("a", 1)})
				_ = b.Start(t.Context(), spec("a", 1))
			}
			boot()
			d.Start()
			err := b.StopService("a", alice)
			stopped := err == nil
			require.Equal(t, stopped, b.Inspect()[0].Stopped != nil)
			if stopped {
				err = b.StartService(t.Context(), "a")
				stopped = err != nil
			}
			b.Leave()
			d.Reboot()
			b.fake = b.fake.Next()
			boot()
			if err == nil {
				require.Equal(t, stopped, b.Inspect()[0].Stopped != nil)
			}
			b.stopAll(t)
		})
	})
}

// A service that depends on one that is stopped by hand says so, and starts with it.
func TestDependsOnAServiceThatIsStoppedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 1, func(s *app.Service) { s.Restart.Policy = app.RestartNo })))
		require.NoError(t, b.StopService("a", alice))
		require.NoError(t, b.Start(t.Context(), spec("b", 1, func(s *app.Service) {
			s.DependsOn = app.Dependencies{{Service: "a", Condition: app.ConditionStopped}}
		})))
		synctest.Wait()
		require.Contains(t, b.instance(t, "b", "b").Waiting, "it is stopped by hand, by alice: baetyl service start a")
		require.NoError(t, b.StartService(t.Context(), "a"))
		synctest.Wait()
		require.NotContains(t, b.instance(t, "b", "b").Waiting, "by hand")
		b.fake.End("a", nil)
		synctest.Wait()
		require.Equal(t, []string{"b"}, b.fake.Running())
	})
}
