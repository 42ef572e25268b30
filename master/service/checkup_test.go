package service_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// patients answer the probes of a fake engine: as their instances were told, and fine at first.
type patients struct {
	mu    sync.Mutex
	ill   map[string]bool
	asked map[string]int
	hang  map[string]bool
}

func (b *bench) patients() *patients {
	p := &patients{ill: map[string]bool{}, asked: map[string]int{}, hang: map[string]bool{}}
	b.fake.OnExec(func(ctx context.Context, instance string, e engine.Exec) (int, error) {
		p.mu.Lock()
		p.asked[instance+" "+e.Args[0]]++
		hang, ill := p.hang[instance], p.ill[instance] || p.ill[instance+" "+e.Args[0]]
		p.mu.Unlock()
		if hang {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		if ill {
			fmt.Fprint(e.Stderr, "no pulse")
			return 1, nil
		}
		return 0, nil
	})
	return p
}

func (p *patients) set(what map[string]bool, name string, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what[name] = is
}

func (p *patients) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[name]
}

func runs(command string, retries int) *app.Probe {
	return &app.Probe{
		Action:   app.Action{Exec: &app.ProbeExec{Command: []string{command}}},
		Interval: 10 * time.Second, Timeout: 3 * time.Second, Retries: retries,
	}
}

func checked(h app.Healthcheck) func(*app.Service) {
	return func(s *app.Service) { s.Healthcheck = &h }
}

func after(on string, c app.Condition) func(*app.Service) {
	return func(s *app.Service) { s.DependsOn = append(s.DependsOn, app.Dependency{Service: on, Condition: c}) }
}

func restarts(policy string) func(*app.Service) {
	return func(s *app.Service) { s.Restart.Policy = policy }
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestLiveness(t *testing.T) {
	for policy, want := range map[string]string{
		app.RestartAlways: masterapi.StatusRunning, app.RestartOnFailure: masterapi.StatusRunning,
		app.RestartNo: masterapi.StatusFailed,
	} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				p := b.patients()
				s := spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 3)}), restarts(policy))
				require.NoError(t, b.Start(t.Context(), s))
				pass(time.Second)
				i := b.instance(t, "a", "a")
				require.Equal(t, masterapi.HealthHealthy, i.Health.Status)
				p.set(p.ill, "a", true)
				pass(time.Minute)
				p.set(p.ill, "a", false)
				pass(5 * time.Minute)
				i = b.instance(t, "a", "a")
				require.Equal(t, want, i.Status)
				require.Contains(t, i.Error, "liveness: 3 probes in a row have failed: live has ended with status 1")
				if policy == app.RestartNo {
					require.Nil(t, i.Health)
					require.Empty(t, b.fake.Running())
					require.Equal(t, masterapi.HealthUnhealthy, b.Health()[0].Health)
					return
				}
				require.GreaterOrEqual(t, i.Restarts, 1)
				require.Equal(t, masterapi.HealthHealthy, i.Health.Status)
				require.Equal(t, []masterapi.ServiceHealth{{Name: "a", Health: masterapi.HealthHealthy}}, b.Health())
			})
		})
	}
}

func TestReadinessOnlyMarks(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		h := app.Healthcheck{Liveness: runs("live", 3), Readiness: runs("ready", 2)}
		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(h))))
		pass(time.Second)
		p.set(p.ill, "a ready", true)
		pass(10 * time.Minute)
		i := b.instance(t, "a", "a")
		require.Equal(t, masterapi.StatusRunning, i.Status)
		require.Zero(t, i.Restarts)
		require.Equal(t, masterapi.HealthUnhealthy, i.Health.Status)
		require.Equal(t, []masterapi.ServiceHealth{{
			Name: "a", Health: masterapi.HealthUnhealthy, Reason: "instance a is unhealthy: " + firstLine(i.Health.Output),
		}}, b.Health())
		p.set(p.ill, "a ready", false)
		pass(15 * time.Second)
		require.Equal(t, masterapi.HealthHealthy, b.instance(t, "a", "a").Health.Status)
	})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// A probe that hangs ends with its timeout, and with the instance.
func TestHangingProbe(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		p.set(p.hang, "a", true)
		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 2)}))))
		pass(time.Second)
		began := time.Now()
		b.stopAll(t)
		require.Less(t, time.Since(began), time.Second, "nobody waits for the probe")
		asked := p.count("a live")
		pass(time.Hour)
		require.Equal(t, asked, p.count("a live"), "nobody probes what is stopped")

		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 2)}))))
		pass(30 * time.Second)
		require.Contains(t, b.instance(t, "a", "a").Error, "liveness: 2 probes in a row have failed: no answer within 3s")
	})
}

// A service that never gets healthy does not get its history forgotten by mere uptime.
func TestHistoryIsThatOfHealth(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		p.set(p.ill, "a", true)
		s := spec("a", 1, checked(app.Healthcheck{Readiness: runs("ready", 3)}))
		s.Restart.Backoff.Max = time.Minute
		s.Restart.Retry.Max = 2
		require.NoError(t, b.Start(t.Context(), s))
		for range 3 {
			pass(time.Hour)
			b.fake.End("a", errBoom)
			pass(0)
		}
		i := b.instance(t, "a", "a")
		require.Equal(t, "given up after 2 restarts: boom", i.Error, "three hours up, and never healthy")
	})
	bubble(t, func(t *testing.T, b *bench) {
		b.patients()
		s := spec("a", 1, checked(app.Healthcheck{Readiness: runs("ready", 3)}))
		s.Restart.Backoff.Max = time.Minute
		s.Restart.Retry.Max = 2
		require.NoError(t, b.Start(t.Context(), s))
		for range 9 {
			pass(2 * time.Minute)
			b.fake.End("a", errBoom)
			pass(0)
		}
		require.Equal(t, masterapi.StatusRestarting, b.instance(t, "a", "a").Status)
	})
}

func TestOrderOfHealth(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		p.set(p.ill, "db", true)
		db := spec("db", 2, checked(app.Healthcheck{Readiness: runs("ready", 3)}))
		require.NoError(t, b.Start(t.Context(), db))
		began := time.Now()
		require.NoError(t, b.Start(t.Context(), spec("web", 1, after("db", app.ConditionHealthy))))
		require.NoError(t, b.Start(t.Context(), spec("page", 1, after("web", ""))))
		require.NoError(t, b.Start(t.Context(), spec("other", 1)))
		require.Zero(t, time.Since(began), "nobody waits for a service that waits")
		pass(time.Hour)
		require.Equal(t, []string{"db", "db.i1", "other", "page"}, b.fake.Running())
		i := b.instance(t, "web", "web")
		require.Equal(t, masterapi.StatusWaiting, i.Status)
		require.Equal(t, "service db to be healthy: instance db is unhealthy: ready has ended with status 1", i.Waiting)
		require.Equal(t, masterapi.HealthStarting, b.Health()[3].Health)
		p.set(p.ill, "db", false)
		pass(20 * time.Second)
		require.Contains(t, b.fake.Running(), "web")
		i = b.instance(t, "web", "web")
		require.Equal(t, masterapi.StatusRunning, i.Status)
		require.Empty(t, i.Waiting)
		p.set(p.ill, "db", true) // later it does not matter
		pass(time.Hour)
		b.fake.End("web", errBoom)
		pass(time.Minute)
		require.Contains(t, b.fake.Running(), "web", "it starts again without waiting")
		b.stopAll(t)
		require.Equal(t, []string{"web", "db"}, only(b.fake.Closed(), "db", "web"))
	})
}

func only(list []string, names ...string) (out []string) {
	for _, e := range list {
		for _, n := range names {
			if e == n {
				out = append(out, e)
			}
		}
	}
	return out
}

// Stop does not wait for what a service waits for.
func TestStopWhileWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		p.set(p.ill, "db", true)
		require.NoError(t, b.Start(t.Context(), spec("db", 1, checked(app.Healthcheck{Readiness: runs("ready", 3)}))))
		require.NoError(t, b.Start(t.Context(), spec("web", 1, after("db", app.ConditionHealthy))))
		pass(time.Minute)
		began := time.Now()
		b.stopAll(t)
		require.Zero(t, time.Since(began))
		require.Zero(t, b.fake.Starts("web"))
	})
}

func TestOrderOfJobs(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("job", 1, restarts(app.RestartOnFailure))))
		require.NoError(t, b.Start(t.Context(), spec("web", 1, after("job", app.ConditionStopped))))
		pass(time.Minute)
		require.Equal(t, "service job to be stopped: instance job is running", b.instance(t, "web", "web").Waiting)
		b.fake.End("job", errBoom)
		pass(0)
		require.Contains(t, b.instance(t, "web", "web").Waiting, "instance job is restarting: boom")
		pass(time.Minute)
		b.fake.End("job", nil)
		pass(0)
		require.Equal(t, []string{"web"}, b.fake.Running())
	})
}

func TestAwaitHealthCounts(t *testing.T) {
	await := func(b *bench, names ...string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		return b.AwaitHealthy(ctx, 10*time.Second, names...)
	}
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		p.set(p.ill, "a", true)
		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(app.Healthcheck{Readiness: runs("ready", 3)}))))
		require.NoError(t, b.Start(t.Context(), spec("w", 1, after("a", app.ConditionHealthy))))
		err := await(b, "a", "w")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "instance w of service w (waiting): for service a to be healthy")
		require.ErrorContains(t, await(b, "a"), "instance a of service a (unhealthy): ready has ended with status 1: has not")
		p.set(p.ill, "a", false)
		began := time.Now()
		require.NoError(t, await(b, "a", "w"))
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second, "healthy for as long")
	})
	bubble(t, func(t *testing.T, b *bench) { // unhealthy again and again
		p := b.patients()
		p.set(p.ill, "a", true)
		s := spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 1)}))
		require.NoError(t, b.Start(t.Context(), s))
		require.ErrorContains(t, await(b, "a"), "has ended 4 times in a row: liveness: a probe has failed")
	})
}

// The next master goes on with what is known, and the file is written when that changes, not at each probe.
func TestHealthIsAdopted(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		s := spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 3)}))
		require.NoError(t, b.Start(t.Context(), s))
		pass(time.Second)
		since := b.instance(t, "a", "a").Health.Since
		before, err := os.Stat(b.records)
		require.NoError(t, err)
		pass(time.Hour)
		later, err := os.Stat(b.records)
		require.NoError(t, err)
		require.True(t, os.SameFile(before, later), "no probe writes")
		b.Leave()
		b.next()
		b.fake.FailAdopt("a", errBoom)
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{s}))
		i := b.instance(t, "a", "a")
		require.NotNil(t, i.Health, "known before it is adopted")
		require.Equal(t, masterapi.HealthHealthy, i.Health.Status)
		b.fake.FailAdopt("a", nil)
		require.NoError(t, b.Start(t.Context(), s))
		synctest.Wait()
		i = b.instance(t, "a", "a")
		require.Equal(t, masterapi.HealthHealthy, i.Health.Status)
		require.Equal(t, *since, *i.Health.Since)
		require.Equal(t, 1, b.fake.Starts("a"))
		p.set(p.ill, "a", true)
		pass(time.Minute)
		require.Greater(t, b.fake.Starts("a"), 1)
	})
}

// A master that is killed while it ends an unhealthy instance has said so before: the next one counts a failure.
func TestDoomedByTheMasterBefore(t *testing.T) {
	for _, op := range []string{"stop", "stopped"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				p := b.patients()
				s := spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 1)}), restarts(app.RestartNo))
				require.NoError(t, b.Start(t.Context(), s))
				pass(time.Second)
				killed := make(chan struct{})
				b.fake.Hook(func(at string) error {
					if at != op {
						return nil
					}
					b.Leave() // from here on this master changes nothing
					close(killed)
					return errors.New("killed")
				})
				p.set(p.ill, "a", true)
				<-killed
				b.fake.Hook(func(string) error { return nil })
				b.next()
				require.NoError(t, b.TakeOver(t.Context(), []engine.Service{s}))
				require.NoError(t, b.Start(t.Context(), s))
				pass(time.Minute)
				i := b.instance(t, "a", "a")
				require.Equal(t, masterapi.StatusFailed, i.Status)
				require.Contains(t, i.Error, "liveness: a probe has failed")
				require.Equal(t, 1, b.fake.Starts("a"))
			})
		})
	}
}

// Fifty services that start together do not probe together.
func TestProbesAreSpread(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		var mu sync.Mutex
		at := map[time.Time]int{}
		b.fake.OnExec(func(context.Context, string, engine.Exec) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			at[time.Now().Truncate(100*time.Millisecond)]++
			return 0, nil
		})
		require.NoError(t, b.Start(t.Context(), spec("a", 50, checked(app.Healthcheck{Liveness: runs("live", 1)}))))
		pass(time.Second)
		mu.Lock()
		clear(at)
		mu.Unlock()
		pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for when, n := range at {
			require.Less(t, n, 12, "%s", when)
		}
	})
}

// What a backup has frozen cannot answer, and is not to blame for it.
func TestFrozenInstancesAreNotJudged(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(app.Healthcheck{Liveness: runs("live", 1)}))))
		pass(time.Second)
		thaw, err := b.Freeze(t.Context())
		require.NoError(t, err)
		p.set(p.hang, "a", true)
		pass(time.Minute)
		p.set(p.hang, "a", false)
		thaw()
		pass(time.Minute)
		require.Equal(t, masterapi.HealthHealthy, b.instance(t, "a", "a").Health.Status)
		require.Equal(t, 1, b.fake.Starts("a"))
	})
}
