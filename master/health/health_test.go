package health_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func probe(interval time.Duration, retries int, period time.Duration) app.Probe {
	return app.Probe{Interval: interval, Retries: retries, StartPeriod: period, Timeout: time.Second}
}

// run asks until d has passed since the start, or the instance is doomed. answers says what a probe finds.
func run(s *health.State, now, until time.Time, answer func(app.Kind, time.Time) bool) (end time.Time, asked int) {
	for s.Doom() == "" {
		k, due, ok := s.Due()
		if !ok || due.After(until) {
			return until, asked
		}
		if due.After(now) {
			now = due
		}
		asked++
		s.Note(k, health.Result{OK: answer(k, now), Output: "said"}, now)
	}
	return now, asked
}

func after(d time.Duration) func(app.Kind, time.Time) bool {
	return func(_ app.Kind, now time.Time) bool { return now.Sub(start) >= d }
}

func TestState(t *testing.T) {
	never := func(app.Kind, time.Time) bool { return false }
	type probes = map[app.Kind]app.Probe
	for _, c := range []struct {
		name   string
		probes probes
		answer func(app.Kind, time.Time) bool
		until  time.Duration
		status string
		doom   string
		at     time.Duration // of the end
	}{
		{"healthy as soon as it works", probes{app.Liveness: probe(time.Minute, 3, 0)}, after(2 * time.Second),
			3 * time.Second, masterapi.HealthHealthy, "", 3 * time.Second},
		{"failures before the first success count once in an interval", probes{app.Liveness: probe(10*time.Second, 3, 0)},
			never, time.Hour, masterapi.HealthUnhealthy, "liveness: 3 probes in a row have failed: said", 30 * time.Second},
		{"they count after the start period", probes{app.Liveness: probe(10*time.Second, 2, time.Minute)},
			never, time.Hour, masterapi.HealthUnhealthy, "liveness: 2 probes in a row have failed: said", 80 * time.Second},
		{"a success ends the start period", probes{app.Liveness: probe(10*time.Second, 2, time.Hour)},
			func(_ app.Kind, now time.Time) bool { return now == start }, 10 * time.Hour,
			masterapi.HealthUnhealthy, "liveness: 2 probes in a row have failed: said", 20 * time.Second},
		{"readiness only marks", probes{app.Readiness: probe(10*time.Second, 2, 0)}, never, time.Hour,
			masterapi.HealthUnhealthy, "", time.Hour},
		{"readiness comes back", probes{app.Readiness: probe(10*time.Second, 2, 0)}, after(time.Minute), time.Hour,
			masterapi.HealthHealthy, "", time.Hour},
		{"the others wait for startup", probes{app.Startup: probe(10*time.Second, 9, 0), app.Liveness: probe(time.Second, 1, 0)},
			func(k app.Kind, now time.Time) bool { return k == app.Startup && now.Sub(start) > 50*time.Second },
			time.Hour, masterapi.HealthUnhealthy, "liveness: a probe has failed: said", 0},
		{"startup dooms", probes{app.Startup: probe(time.Second, 3, 0), app.Readiness: probe(time.Second, 1, 0)}, never,
			time.Hour, masterapi.HealthUnhealthy, "startup: 3 probes in a row have failed: said", 3 * time.Second},
		{"healthy needs both", probes{app.Liveness: probe(time.Second, 3, 0), app.Readiness: probe(time.Second, 99, 0)},
			func(k app.Kind, _ time.Time) bool { return k == app.Liveness }, 50 * time.Second,
			masterapi.HealthStarting, "", 50 * time.Second},
		{"two failures of three are forgotten", probes{app.Liveness: probe(time.Second, 3, 0)},
			func(_ app.Kind, now time.Time) bool { return int(now.Sub(start).Seconds())%3 == 0 }, time.Hour,
			masterapi.HealthHealthy, "", time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := health.New(c.probes, start, start, 0)
			end, _ := run(s, start, start.Add(c.until), c.answer)
			require.Equal(t, c.doom, s.Doom())
			require.Equal(t, c.status, s.Health().Status)
			if c.at > 0 {
				require.Equal(t, c.at, end.Sub(start))
			}
		})
	}
}

// Many questions before the first success are few in the end: their distance grows with the time that has passed.
func TestProbesAreFew(t *testing.T) {
	s := health.New(map[app.Kind]app.Probe{app.Readiness: probe(10*time.Second, 3, time.Hour)}, start, start, 0)
	_, asked := run(s, start, start.Add(time.Hour), func(app.Kind, time.Time) bool { return false })
	require.Less(t, asked, 380)
}

func TestResume(t *testing.T) {
	probes := map[app.Kind]app.Probe{
		app.Startup: probe(time.Second, 1, 0), app.Liveness: probe(10*time.Second, 3, 0),
		app.Readiness: probe(time.Second, 5, 0),
	}
	now := start.Add(time.Hour)
	was := func(status string) *masterapi.Health {
		since := start.Add(time.Minute)
		return &masterapi.Health{Status: status, Since: &since, Output: "x"}
	}
	t.Run("healthy stays so until probes say otherwise", func(t *testing.T) {
		s := health.Resume(probes, was(masterapi.HealthHealthy), start, now, 0)
		require.Equal(t, masterapi.HealthHealthy, s.Health().Status)
		require.Equal(t, 59*time.Minute, s.Healthy(now))
		s.Note(app.Liveness, health.Result{}, now)
		require.Equal(t, masterapi.HealthHealthy, s.Health().Status)
		run(s, now, now.Add(time.Hour), func(app.Kind, time.Time) bool { return false })
		require.Contains(t, s.Doom(), "liveness: 3 probes in a row")
		require.Greater(t, s.Healthy(now.Add(2*time.Hour)), 59*time.Minute, "how long it had been")
	})
	t.Run("unhealthy needs a success of each", func(t *testing.T) {
		s := health.Resume(probes, was(masterapi.HealthUnhealthy), start, now, 0)
		require.Equal(t, masterapi.HealthUnhealthy, s.Health().Status)
		run(s, now, now.Add(time.Minute), func(app.Kind, time.Time) bool { return true })
		require.Equal(t, masterapi.HealthHealthy, s.Health().Status)
		require.Zero(t, s.Health().Failures)
	})
	t.Run("nothing is known", func(t *testing.T) {
		s := health.Resume(probes, nil, start, now, 0)
		require.Equal(t, masterapi.HealthStarting, s.Health().Status)
		k, _, _ := s.Due()
		require.Equal(t, app.Startup, k)
	})
}

func TestTold(t *testing.T) {
	s := health.New(nil, start, start, 0)
	_, _, ok := s.Due()
	require.False(t, ok)
	s.Told(masterapi.HealthStarting, "", start)
	require.Equal(t, masterapi.HealthStarting, s.Health().Status)
	s.Told(masterapi.HealthHealthy, "fine", start.Add(time.Second))
	require.Equal(t, time.Minute, s.Healthy(start.Add(61*time.Second)))
	s.Told(masterapi.HealthUnhealthy, "curl: (7)\nmore", start.Add(time.Hour))
	require.Equal(t, "liveness: the health check of the container has failed: curl: (7)", s.Doom())
}

// Clocks go back, output is anything: nothing panics, nothing is due in the past again and again, and Doom is final.
func FuzzState(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0xff}, uint8(7), "out")
	f.Add([]byte{1, 1, 1, 1}, uint8(1), strings.Repeat("\xff\n", 5000))
	f.Fuzz(func(t *testing.T, results []byte, kinds uint8, output string) {
		probes := map[app.Kind]app.Probe{}
		for n, k := range []app.Kind{app.Startup, app.Liveness, app.Readiness} {
			if kinds&(1<<n) != 0 {
				probes[k] = probe(time.Duration(1+kinds>>4)*time.Second, 1+int(kinds>>3)&3, time.Duration(kinds>>5)*time.Second)
			}
		}
		now := start
		s := health.New(probes, start, now, float64(kinds)/256)
		for _, b := range results {
			k, due, ok := s.Due()
			if !ok { // there are none, or that of startup alone, which has succeeded
				require.True(t, len(probes) == 0 || len(probes) == 1 && s.Health().Status == masterapi.HealthHealthy)
				return
			}
			switch {
			case b&2 != 0:
				now = now.Add(-time.Duration(b) * time.Minute) // the clock is set back
			case due.After(now):
				now = due
			}
			doomed := s.Doom()
			s.Note(k, health.Result{OK: b&1 != 0, Output: output}, now)
			if doomed == "" && s.Doom() == "" && b&2 == 0 {
				_, again, ok := s.Due()
				require.False(t, ok && again.Before(now), "%s before %s", again, now)
			}
			if doomed != "" {
				require.Equal(t, doomed, s.Doom())
			}
			h := s.Health()
			require.LessOrEqual(t, len(h.Output), health.MaxOutput)
			require.True(t, utf8.ValidString(h.Output) && utf8.ValidString(s.Doom()))
			require.LessOrEqual(t, len(s.Doom()), 512)
		}
	})
}
