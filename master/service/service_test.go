package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

var errBoom = errors.New("boom")

// bench is a manager over a fake engine, in a synctest bubble: time passes only while all goroutines wait.
type bench struct {
	*service.Manager
	fake    *enginetest.Fake
	records string
	disk    file.Disk
	booted  string // identifies the boot of the machine
}

// manager makes the manager of a new master.
func (b *bench) manager() {
	b.Manager = service.New(service.Options{
		Engine:  b.fake,
		Records: service.NewRecords(b.records, b.disk, log.Discard()),
		Stops:   service.NewStops(filepath.Join(filepath.Dir(b.records), "stopped.json"), b.disk, log.Discard()),
		Grace:   30 * time.Second,
		Log:     log.Discard(),
		Boot:    b.booted,
		Env:     map[string]string{masterapi.EnvServiceMode: "native"},
	})
}

// next is the next master, after this one has left its instances or was killed.
func (b *bench) next() {
	b.fake = b.fake.Next()
	b.manager()
}

func bubble(t *testing.T, test func(t *testing.T, b *bench)) {
	path := filepath.Join(t.TempDir(), "run", "instances.json")
	synctest.Test(t, func(t *testing.T) {
		b := &bench{fake: enginetest.NewFake(), records: path, disk: file.OS, booted: "never"} // as the fake's records say
		b.manager()
		t.Cleanup(func() { b.Leave() }) // after a failure: goroutines that stay would end the whole run (synctest)
		test(t, b)
		b.stopAll(t)
		require.Zero(t, b.fake.Held())
		require.NoFileExists(t, path, "no instance, no record")
	})
}

func (b *bench) stopAll(t *testing.T) {
	require.NoError(t, b.Stop(context.Background(), b.Names()...))
}

func spec(name string, replica int, change ...func(*app.Service)) engine.Service {
	s := app.Service{
		Name:    name,
		Image:   "i",
		Replica: replica,
		Restart: app.Restart{
			Policy:  app.RestartAlways,
			Backoff: app.Backoff{Min: time.Second, Max: 5 * time.Minute, Factor: 2},
		},
	}
	for _, c := range change {
		c(&s)
	}
	return engine.Service{Service: s}
}

func (b *bench) instance(t *testing.T, service, name string) masterapi.Instance {
	for _, s := range b.Inspect() {
		for _, i := range s.Instances {
			if s.Name == service && i.Name == name {
				return i
			}
		}
	}
	t.Fatalf("no instance %s of service %s", name, service)
	return masterapi.Instance{}
}

func TestReplicas(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 3)))
		require.NoError(t, b.Start(t.Context(), spec("none", 0)))
		require.Equal(t, []string{"a", "a.i1", "a.i2"}, b.fake.Running())
		require.ErrorIs(t, b.Start(t.Context(), spec("a", 1)), service.ErrExists)
		data, err := os.ReadFile(b.records)
		require.NoError(t, err)
		require.Equal(t, 3, strings.Count(string(data), `"instance"`))
		info, err := os.Stat(b.records)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		view := b.Inspect()
		require.Len(t, view, 2, "a service without instances is shown too")
		require.Len(t, view[0].Instances, 3)
		i := view[0].Instances[0]
		require.Equal(t, masterapi.StatusRunning, i.Status)
		require.NotNil(t, i.Process)
		require.NotNil(t, i.StartTime)
	})
}

// Seconds after the beginning at which an instance that fails at once is started.
func TestBackoffOfACrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 1, func(s *app.Service) { s.Restart.Retry.Max = 4 })))
		for n, delay := range []time.Duration{1, 2, 4, 8} {
			b.fake.End("a", errBoom)
			synctest.Wait()
			i := b.instance(t, "a", "a")
			require.Equal(t, masterapi.StatusRestarting, i.Status)
			require.Equal(t, "boom", i.Error)
			require.Nil(t, i.Process, "a process that is gone is not shown")
			time.Sleep(delay * time.Second * 8 / 10)
			require.Equal(t, n+1, b.fake.Starts("a"), "too early")
			time.Sleep(delay * time.Second * 4 / 10)
			require.Equal(t, n+2, b.fake.Starts("a"), "too late")
			require.Equal(t, n+1, b.instance(t, "a", "a").Restarts)
		}
		b.fake.End("a", errBoom)
		time.Sleep(time.Hour)
		i := b.instance(t, "a", "a")
		require.Equal(t, masterapi.StatusFailed, i.Status, "given up, and still shown")
		require.Equal(t, "given up after 4 restarts: boom", i.Error)
		require.Equal(t, 5, b.fake.Starts("a"))
	})
}

func TestHealthyRunResetsTheBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 1, func(s *app.Service) { s.Restart.Retry.Max = 1 })))
		for n := range 5 {
			time.Sleep(6 * time.Minute)
			b.fake.End("a", errBoom)
			time.Sleep(1200 * time.Millisecond)
			require.Equal(t, n+2, b.fake.Starts("a"))
		}
	})
}

func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		policy string
		exit   error
		status string
		starts int
	}{
		{app.RestartNo, nil, masterapi.StatusExited, 1},
		{app.RestartNo, errBoom, masterapi.StatusFailed, 1},
		{app.RestartOnFailure, nil, masterapi.StatusExited, 1},
		{app.RestartOnFailure, errBoom, masterapi.StatusRunning, 2},
		{app.RestartAlways, nil, masterapi.StatusRunning, 2},
	} {
		t.Run(fmt.Sprint(c.policy, c.exit), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				require.NoError(t, b.Start(t.Context(), spec("a", 1, func(s *app.Service) { s.Restart.Policy = c.policy })))
				b.fake.End("a", c.exit)
				time.Sleep(time.Minute)
				require.Equal(t, c.status, b.instance(t, "a", "a").Status)
				require.Equal(t, c.starts, b.fake.Starts("a"))
			})
		})
	}
}

func TestServiceThatCannotStartIsFailedAndRetried(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.fake.FailOpen("a", errors.New("no such volume"))
		b.fake.FailStart("b", errBoom)
		require.ErrorContains(t, b.Start(t.Context(), spec("a", 1)), "no such volume")
		require.ErrorContains(t, b.Start(t.Context(), spec("b", 1)), "boom")
		require.NoError(t, b.Start(t.Context(), spec("c", 1)))
		synctest.Wait()
		require.Equal(t, []string{"c"}, b.fake.Running(), "the others go on")
		for name, reason := range map[string]string{"a": "start: no such volume", "b": "start: boom"} {
			i := b.instance(t, name, name)
			require.Equal(t, masterapi.StatusFailed, i.Status)
			require.Equal(t, reason, i.Error)
		}
		require.Equal(t, "instance a: start: no such volume", b.Inspect()[0].Error)

		b.fake.FailOpen("a", nil)
		b.fake.FailStart("b", nil)
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"a", "b", "c"}, b.fake.Running())
		require.Empty(t, b.Inspect()[0].Error, "it has stayed up")
	})
}

// Many callers start and stop the same few names, services stop in between: the fake fails when a name runs twice or
// when something starts after its sandbox was closed, and bubble checks that nothing is left.
func TestConcurrentCallers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.fake.SlowStart(10 * time.Millisecond)
		for range 5 {
			require.NoError(t, b.Start(t.Context(), spec("f", 2)))
			var wg sync.WaitGroup
			for n := range 40 {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * time.Millisecond)
					name := fmt.Sprintf("f.%d", n%4)
					if n%5 == 0 {
						_ = b.StopInstance(t.Context(), "f", name, nil)
						return
					}
					err := b.StartInstance(t.Context(), "f", name, nil, nil)
					if err != nil && !errors.Is(err, service.ErrStopped) && !errors.Is(err, service.ErrNotFound) {
						t.Errorf("start: %s", err)
					}
				})
			}
			time.Sleep(25 * time.Millisecond)
			b.stopAll(t)
			wg.Wait()
			require.Empty(t, b.fake.Running())
			require.False(t, b.fake.IsOpen("f"))
		}
	})
}

func TestCallerWhoGoesAwayLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.fake.SlowStart(time.Minute)
		require.NoError(t, b.Start(t.Context(), spec("f", 0)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.StartInstance(ctx, "f", "f.1", nil, nil), context.DeadlineExceeded)
		time.Sleep(time.Hour)
		require.Empty(t, b.fake.Running())
		require.Empty(t, b.Inspect()[0].Instances)
	})
}

// Each service has its grace time from the end of its dependants on: what ignores SIGTERM takes nothing from others.
func TestStopFollowsDependenciesEachWithItsGrace(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		on := func(names ...string) func(*app.Service) {
			return func(s *app.Service) { s.DependsOn = app.On(names...) }
		}
		require.NoError(t, b.Start(t.Context(), spec("hub", 1)))
		require.NoError(t, b.Start(t.Context(), spec("manager", 1, on("hub"))))
		require.NoError(t, b.Start(t.Context(), spec("timer", 1, on("manager", "hub"), func(s *app.Service) {
			s.Stop.Grace = 5 * time.Second
		})))
		b.fake.IgnoreStop()
		began := time.Now()
		b.stopAll(t)
		require.Equal(t, []string{"timer", "manager", "hub"}, b.fake.Closed())
		require.Equal(t, 65*time.Second, time.Since(began), "each its own")
	})
}

func TestStopEndsAStartThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.fake.SlowStart(time.Hour)
		started := make(chan error)
		go func() { started <- b.Start(context.Background(), spec("a", 1)) }()
		synctest.Wait()
		began := time.Now()
		b.stopAll(t)
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, <-started, service.ErrStopped)
	})
}

func TestTokens(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 2)))
		token := b.fake.Env("a")[masterapi.EnvServiceToken]
		require.Len(t, token, 64)
		require.Equal(t, token, b.fake.Env("a.i1")["OPENEDGE_SERVICE_TOKEN"])
		known := func(service, token string) bool {
			_, ok := b.Authenticate(service, token)
			return ok
		}
		require.True(t, known("a", token))
		require.False(t, known("a", ""))
		require.False(t, known("b", token))
		require.False(t, known("", ""))
		b.stopAll(t)
		require.False(t, known("a", token), "a token ends with its service")
		require.NoError(t, b.Start(t.Context(), spec("a", 1)))
		require.NotEqual(t, token, b.fake.Env("a")[masterapi.EnvServiceToken])
	})
}

func TestReports(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 1)))
		report := func(text string) error {
			var r map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(text), &r))
			return b.Report("a", "a", r)
		}
		require.NoError(t, report(`{"info":{"x":1},"stats":{"n":1}}`))
		require.NoError(t, report(`{"stats":{"n":2}}`))
		i := b.instance(t, "a", "a")
		require.Equal(t, `{"x":1}`, string(i.Reported["info"]))
		require.Equal(t, `{"n":2}`, string(i.Reported["stats"]))

		require.ErrorIs(t, report(`{"process":{"id":1}}`), service.ErrInvalid)
		require.ErrorIs(t, b.Report("a", "ghost", nil), service.ErrNotFound)
		require.ErrorIs(t, b.Report("zzz", "a", nil), service.ErrNotFound)
		many := map[string]json.RawMessage{}
		for n := range 101 {
			many[fmt.Sprint(n)] = []byte("1")
		}
		require.ErrorIs(t, b.Report("a", "a", many), service.ErrLimit)
		big, err := json.Marshal(strings.Repeat("x", 1<<20))
		require.NoError(t, err)
		require.ErrorIs(t, b.Report("a", "a", map[string]json.RawMessage{"big": big}), service.ErrLimit)
		require.Len(t, b.instance(t, "a", "a").Reported, 2, "a refused report changes nothing")
		require.ErrorIs(t,
			b.Report("a", "a", map[string]json.RawMessage{strings.Repeat("<", 200<<10): []byte("1")}),
			service.ErrLimit, "a key is counted as JSON writes it")
	})
}

// Readers of inspect take 16 MiB: however many instances report as much as each may, the answer stays below.
func TestAllReportsTogetherAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("a", 20)))
		require.NoError(t, b.Start(t.Context(), spec("z", 1)))
		big := map[string]json.RawMessage{"big": []byte(`"` + strings.Repeat("x", 1000<<10) + `"`)}
		require.NoError(t, b.Report("a", "a", big))
		var last error
		for n := 1; n < 20 && last == nil; n++ {
			last = b.Report("a", fmt.Sprintf("a.i%d", n), big)
		}
		require.ErrorIs(t, last, service.ErrLimit)
		require.ErrorContains(t, last, "all instances together may report 8388608 bytes")
		require.NoError(t, b.Report("z", "z", map[string]json.RawMessage{"small": []byte("1")}), "what fits is taken")
		require.NoError(t, b.Report("a", "a", map[string]json.RawMessage{"big": []byte("1")}),
			"an instance may shrink its own")
		data, err := json.Marshal(b.Inspect())
		require.NoError(t, err)
		require.Less(t, len(data), 9<<20)
		require.NoError(t, b.Report("a", "a.i19", big), "there is room again")
	})
}

func TestInspectMeasures(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		require.NoError(t, b.Start(t.Context(), spec("a", 1)))
		i := b.instance(t, "a", "a")
		require.Equal(t, uint64(1), i.Mem.Used)
		require.Equal(t, 1.0, i.CPU.UsedPercent)
		cancel()
		require.NoError(t, <-done)
	})
}

// Without digest, as a version wrote it that adopted nothing, an instance is ended.
func TestRecordsOfAnotherEngineOrVersion(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.TakeOver(t.Context(), nil))
		require.NoError(t, os.MkdirAll(filepath.Dir(b.records), 0o755))
		own := engine.Record{Engine: "native", Service: "a", Instance: "a", Process: &masterapi.Process{ID: 7}}
		other := engine.Record{Engine: "docker", Service: "b", Instance: "b", Container: &masterapi.Container{ID: "x"}}
		data, err := json.Marshal([]engine.Record{own, other})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(b.records, data, 0o600))
		b.next()
		require.NoError(t, b.TakeOver(t.Context(), []engine.Service{spec("a", 1), spec("b", 1)}))
		reaped, kept := b.fake.Reaped()
		require.Equal(t, []engine.Record{own}, reaped)
		require.Empty(t, kept)
		left, err := service.NewRecords(b.records, file.OS, log.Discard()).Left()
		require.NoError(t, err)
		require.Equal(t, []service.Record{{Record: other}}, left, "another engine's record waits for that engine")

		require.NoError(t, os.WriteFile(b.records, []byte("{half"), 0o600))
		b.next()
		require.NoError(t, b.TakeOver(t.Context(), nil))
		reaped, _ = b.fake.Reaped()
		require.Empty(t, reaped)
		require.FileExists(t, b.records+".damaged-1")
	})
}

// What masters wrote before the list had a version is read: the file is from a real one that was killed. The other
// way round, a master of the version before reads the records of a new one, and one more that is empty.
func TestRecordsOfTheVersionBefore(t *testing.T) {
	want := engine.Record{
		Engine: "native", Service: "loop", Instance: "loop", Process: &masterapi.Process{ID: 1505, Name: "run.sh"},
		Started: "242928", Boot: "6703cc84-e57a-4396-b4f7-ed8905ffd0ae",
	}
	data, err := os.ReadFile("testdata/instances-0.json")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "instances.json")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	r := service.NewRecords(path, file.OS, log.Discard())
	left, err := r.Left()
	require.NoError(t, err)
	require.Equal(t, []service.Record{{Record: want}}, left)

	began := time.Unix(1, 0).UTC()
	left[0].Digest, left[0].Token, left[0].Began, left[0].Restarts = "digest", "token", &began, 3
	left[0].Vars = map[string]string{"A": "b"}
	require.NoError(t, r.Reset(left))
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	var old []engine.Record
	require.NoError(t, json.Unmarshal(data, &old))
	require.Equal(t, []engine.Record{{}, want}, old)
	data, err = json.Marshal(old)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	left, err = r.Left()
	require.NoError(t, err)
	require.Equal(t, []service.Record{{Record: want}}, left)
}
