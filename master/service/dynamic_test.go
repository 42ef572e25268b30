package service_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

func TestDynamicInstances(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("f", 0, func(s *app.Service) {
			s.Env = map[string]string{"A": "service", "OPENEDGE_SERVICE_TOKEN": "x"}
			s.AcceptEnv = []string{"A"}
		})))
		vars := map[string]string{
			"A": "dynamic", "BAETYL_A": "dynamic", masterapi.EnvServiceToken: "mine", "OPENEDGE_SERVICE_TOKEN": "mine",
			masterapi.EnvServiceName: "forged", masterapi.EnvHostSN: "forged", masterapi.EnvRunDir: "/etc",
			masterapi.EnvAPISocket: "forged", "OPENEDGE_MASTER_API": "forged", masterapi.EnvInstanceAddress: "127.0.0.1:1",
		}
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x.1", vars, nil))
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x.2", nil, nil)) // body null
		for _, name := range []string{"f.x.1", "f.x.2"} {
			env := b.fake.Env(name)
			require.NotContains(t, env, masterapi.EnvServiceToken)
			require.NotContains(t, env, "OPENEDGE_SERVICE_TOKEN")
			require.Equal(t, "f", env[masterapi.EnvServiceName])
			require.Equal(t, name, env[masterapi.EnvInstanceName])
			require.Equal(t, name, env["OPENEDGE_SERVICE_INSTANCE_NAME"])
		}
		env := b.fake.Env("f.x.1")
		require.Equal(t, "dynamic", env["A"])
		require.Equal(t, "dynamic", env["BAETYL_A"])
		require.Equal(t, "127.0.0.1:1", env["OPENEDGE_SERVICE_ADDRESS"])
		for name, value := range env {
			require.NotContains(t, []string{"forged", "/etc", "mine"}, value, "%s: what the master sets or nobody", name)
		}

		// The same name again: the one before is stopped first.
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x.1", nil, nil))
		require.Equal(t, 2, b.fake.Starts("f.x.1"))
		require.Equal(t, []string{"f.x.1", "f.x.2"}, b.fake.Running())

		require.NoError(t, b.StopInstance(t.Context(), "f", "f.x.1", nil))
		require.NoError(t, b.StopInstance(t.Context(), "f", "f.x.1", nil), "nothing to stop is success")
		require.Equal(t, []string{"f.x.2"}, b.fake.Running())
		require.Len(t, b.Inspect()[0].Instances, 1)

		b.fake.FailStart("f.x.3", errBoom)
		require.ErrorContains(t, b.StartInstance(t.Context(), "f", "f.x.3", nil, nil), "boom")
		require.Len(t, b.Inspect()[0].Instances, 1, "its caller tries again, not the master")
		require.Equal(t, "instance f.x.3: start: boom", b.Inspect()[0].Error, "but the reason can be seen")
		time.Sleep(time.Hour)
		require.Equal(t, 1, b.fake.Starts("f.x.3"))

		require.ErrorIs(t, b.StartInstance(t.Context(), "zzz", "x", nil, nil), service.ErrNotFound)
		require.EqualError(t, b.StopInstance(t.Context(), "zzz", "x", nil), "service (zzz) not found")
		for _, name := range []string{"", "../x", ".x", "a b", strings.Repeat("x", 129)} {
			require.ErrorIs(t, b.StartInstance(t.Context(), "f", name, nil, nil), service.ErrInvalid, name)
		}
		for _, vars := range []map[string]string{{"": "x"}, {"a=b": "x"}, {"BAETYL_A": "x\x00"}} {
			require.ErrorIs(t, b.StartInstance(t.Context(), "f", "f.x.4", vars, nil), service.ErrInvalid)
		}
	})
}

func TestDynamicInstancesAreCapped(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.NoError(t, b.Start(t.Context(), spec("f", 1)))
		for n := range 200 {
			require.NoError(t, b.StartInstance(t.Context(), "f", fmt.Sprintf("f.%d", n), nil, nil))
		}
		require.ErrorIs(t, b.StartInstance(t.Context(), "f", "f.200", nil, nil), service.ErrLimit)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.0", nil, nil), "an existing name may start anew")
	})
}

// Whoever asks: no replica is started or stopped, no name of another service is taken, and no variable is set that the
// service does not accept.
func TestWhatNobodyMayStart(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("hub", 1), spec("many", 3), spec("f", 0), spec("g", 0, func(s *app.Service) {
			s.AcceptEnv = []string{"LEVEL", "APP_*"}
		}))
		before := b.fake.Records()
		for _, c := range []struct{ service, instance, want string }{
			{"hub", "hub", "not allowed: instance hub is a replica of service (hub), which the master alone starts and stops: change "},
			{"many", "many", "instance many is a replica of service (many)"},
			{"many", "many.i2", "instance many.i2 is a replica of service (many)"},
		} {
			start := b.StartInstance(t.Context(), c.service, c.instance, nil, nil)
			require.ErrorIs(t, start, service.ErrForbidden, c.instance)
			require.ErrorContains(t, start, c.want)
			stop := b.StopInstance(t.Context(), c.service, c.instance, nil)
			require.ErrorIs(t, stop, service.ErrForbidden, c.instance)
			require.ErrorContains(t, stop, c.want)
		}
		for _, name := range []string{"hub", "HUB", "many.i1", "Many.I20", "hub.x", "g", "g.f.1"} {
			err := b.StartInstance(t.Context(), "f", name, nil, nil)
			require.ErrorIs(t, err, service.ErrForbidden, name)
			require.ErrorContains(t, err, "has the name of service (")
			require.ErrorContains(t, err, `begin it with "f."`)
		}
		for name, want := range map[string]string{
			"LD_PRELOAD":   "(f) accepts no variable LD_PRELOAD in a request: write accept_env: [LD_PRELOAD] at service f",
			"PATH":         "accept_env: [PATH]",
			"baetyl_x":     "accept_env: [baetyl_x]",
			"LEVEL":        "accept_env: [LEVEL]",
			"A B":          `accepts no variable "A B" in a request; rename it, for example to BAETYL_…`,
			"A\u00a0B":     `accepts no variable "A\u00a0B"`,
			"*":            `accepts no variable "*"`,
			"PYTHONPATH":   "at service f in application.yml",
			"NODE_OPTIONS": "at service f in application.yml",
		} {
			err := b.StartInstance(t.Context(), "f", "f.x", map[string]string{name: "secret", "BAETYL_X": "secret"}, nil)
			require.ErrorIs(t, err, service.ErrForbidden, name)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "secret")
		}
		for _, name := range []string{"\x1b[31m", "BAETYL_A\nLD_PRELOAD", "BAETYL_\u0085"} {
			err := b.StartInstance(t.Context(), "f", "f.x", map[string]string{name: "secret"}, nil)
			require.ErrorIs(t, err, service.ErrInvalid, name)
			require.NotContains(t, err.Error(), "secret")
		}
		err := b.StartInstance(t.Context(), "g", "g.x", map[string]string{"B": "", "LEVEL": "", "A": ""}, nil)
		require.ErrorContains(t, err, "no variable A, B in a request: write accept_env: [LEVEL, APP_*, A, B] at service g")
		large := map[string]string{}
		for n := range 1000 {
			large[fmt.Sprintf("V%s%d", strings.Repeat("x", 1000), n)] = ""
		}
		err = b.StartInstance(t.Context(), "g", "g.x", large, nil)
		require.ErrorIs(t, err, service.ErrForbidden)
		require.Less(t, len(err.Error()), 30_000, "ten are named, not all")
		require.Equal(t, before, b.fake.Records(), "nothing was started, stopped or started anew")

		require.NoError(t, b.StartInstance(t.Context(), "g", "g.x", map[string]string{"LEVEL": "1", "APP_X": "2"}, nil))
		require.Equal(t, "1", b.fake.Env("g.x")["LEVEL"])
		require.Equal(t, "2", b.fake.Env("g.x")["APP_X"])
		require.NoError(t, b.StartInstance(t.Context(), "hub", "hub.x", nil, nil), "beside the replicas")
		require.NoError(t, b.StartInstance(t.Context(), "many", "many.i3", nil, nil))
		require.NoError(t, b.StartInstance(t.Context(), "f", "f", nil, nil), "of a service without replicas")
		require.NoError(t, b.StartInstance(t.Context(), "f", "other", nil, nil), "a name of nobody")
		for _, name := range []string{"f", "other", "never.there"} {
			require.NoError(t, b.StopInstance(t.Context(), "f", name, nil))
		}
		require.NoError(t, b.StopInstance(t.Context(), "hub", "hub.never", nil))
	})
}

// A judge decides by the service as it runs, before anything else is looked at.
func TestJudges(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("hub", 1), spec("f", 0))
		var asked []string
		refused := errors.New("no")
		by := &service.Caller{Service: "m", May: func(s app.Service) error {
			asked = append(asked, fmt.Sprint(s.Name, s.Replica))
			if s.Replica > 0 {
				return refused
			}
			return nil
		}}
		require.ErrorIs(t, b.StartInstance(t.Context(), "hub", "../", map[string]string{"=": ""}, by), refused)
		require.ErrorIs(t, b.StopInstance(t.Context(), "hub", "x", by), refused)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, by))
		require.NoError(t, b.StopInstance(t.Context(), "f", "f.x", by))
		require.ErrorIs(t, b.StopInstance(t.Context(), "ghost", "f.x", by), service.ErrNotFound)
		require.Equal(t, []string{"hub1", "hub1", "f0", "f0"}, asked)
	})
}

// What an earlier version has started with a name or variables that nobody may give any more does not run on.
func TestForbiddenInstancesAreNotAdopted(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1), spec("f", 0)}
		b.boot(t, specs...)
		for _, name := range []string{"f.good", "f.bad", "other"} {
			require.NoError(t, b.StartInstance(t.Context(), "f", name, map[string]string{"BAETYL_X": name}, nil))
		}
		b.Leave()
		data, err := os.ReadFile(b.records)
		require.NoError(t, err)
		var all []service.Record
		require.NoError(t, json.Unmarshal(data, &all))
		all = all[1:] // the first one says what the file is
		for n := range all {
			if all[n].Instance == "f.bad" {
				all[n].Vars = map[string]string{"LD_PRELOAD": "x.so"}
			}
			if all[n].Instance == "other" {
				all[n].Instance = "hub.x"
			}
		}
		require.NoError(t, service.NewRecords(b.records, file.OS, log.Discard()).Reset(all))
		b.next()
		b.boot(t, specs...)
		require.Equal(t, []string{"f.good", "hub"}, b.fake.Running())
	})
}
