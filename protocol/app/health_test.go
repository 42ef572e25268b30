package app_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

// withServices is a file of the list form with these entries of services.
func withServices(lines ...string) []byte {
	return []byte("services:\n" + strings.Join(lines, "\n") + "\n")
}

func parseOne(t *testing.T, health string) (app.Service, error) {
	c, err := app.Parse("application.yml", withServices("- {name: a, image: x, replica: 1, healthcheck: "+health+"}"))
	if err != nil {
		return app.Service{}, err
	}
	require.Len(t, c.Services, 1)
	return c.Services[0], nil
}

func TestHealthcheckProbes(t *testing.T) {
	filled := func(p app.Probe) app.Probe {
		p.Interval, p.Timeout, p.Retries = 10*time.Second, 5*time.Second, 3
		return p
	}
	tcp := app.Action{TCP: &app.ProbeTCP{Endpoint: app.Endpoint{Port: 1}}}
	for _, c := range []struct {
		name, file     string
		native, docker map[app.Kind]app.Probe
		daemon         bool
	}{
		{"one probe is liveness", `{tcp: {port: 1}}`,
			map[app.Kind]app.Probe{app.Liveness: filled(app.Probe{Action: tcp})},
			map[app.Kind]app.Probe{app.Liveness: filled(app.Probe{Action: tcp})}, false},
		{"kinds", `{startup: {tcp: {port: 1}, start_period: 1m}, readiness: {tcp: {port: 1}}}`,
			map[app.Kind]app.Probe{
				app.Startup:   filled(app.Probe{Action: tcp, StartPeriod: time.Minute}),
				app.Readiness: filled(app.Probe{Action: tcp}),
			},
			map[app.Kind]app.Probe{
				app.Startup:   filled(app.Probe{Action: tcp, StartPeriod: time.Minute}),
				app.Readiness: filled(app.Probe{Action: tcp}),
			}, false},
		{"a test is docker's own, and a command in native mode", `{test: curl x}`,
			map[app.Kind]app.Probe{app.Liveness: filled(app.Probe{
				Action: app.Action{Exec: &app.ProbeExec{Command: []string{"/bin/sh", "-c", "curl x"}}},
			})}, map[app.Kind]app.Probe{}, true},
		{"CMD", `{test: [CMD, a, b]}`,
			map[app.Kind]app.Probe{app.Liveness: filled(app.Probe{
				Action: app.Action{Exec: &app.ProbeExec{Command: []string{"a", "b"}}},
			})}, map[app.Kind]app.Probe{}, true},
		{"disable", `{disable: true}`, map[app.Kind]app.Probe{}, map[app.Kind]app.Probe{}, false},
		{"NONE", `{test: [NONE]}`, map[app.Kind]app.Probe{}, map[app.Kind]app.Probe{}, false},
		{"that of the image", `{}`, map[app.Kind]app.Probe{}, map[app.Kind]app.Probe{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseOne(t, c.file)
			require.NoError(t, err)
			require.Equal(t, c.native, s.Healthcheck.Probes(true))
			require.Equal(t, c.docker, s.Healthcheck.Probes(false))
			require.Equal(t, c.daemon, s.Healthcheck.ByDaemon())
		})
	}
	var none *app.Healthcheck
	require.Empty(t, none.Probes(true))
	require.True(t, none.ByDaemon(), "the image may have one")
}

func TestWrongHealthchecks(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{`{http: {path: /x}}`, "healthcheck.http.port: 0: write a port from 1 to 65535"},
		{`{http: {port: 70000}}`, "healthcheck.http.port: 70000"},
		{`{http: {port: 80, path: x}}`, "healthcheck.http.path"},
		{`{http: {port: 80, path: "/x y"}}`, "healthcheck.http.path"},
		{`{http: {port: 80, host: "a\r\nb: c"}}`, "healthcheck.http.host"},
		{`{http: {port: 80, scheme: ftp}}`, "scheme"},
		{`{http: {port: 80, status: [20]}}`, "healthcheck.http.status[0]"},
		{`{http: {port: 80}, tcp: {port: 80}}`, "healthcheck.tcp: there is http too"},
		{`{tcp: {port: 80, address: example.com}}`, "healthcheck.tcp.address"},
		{`{tcp: {port: 80, socket: a}}`, "healthcheck.tcp.socket"},
		{`{tcp: {socket: ../a}}`, "healthcheck.tcp.socket"},
		{`{tcp: {socket: ..}}`, "healthcheck.tcp.socket"},
		{`{tcp: {port: 80, host: x}}`, "host: unknown key"},
		{`{exec: {command: []}}`, "healthcheck.exec.command: must not be empty"},
		{`{exec: {command: x}}`, "healthcheck.exec.command"},
		{`{exec: x}`, "healthcheck.exec"},
		{`{tcp: {port: 1}, interval: 10ms}`, "healthcheck.interval: 10ms is not from 1s to 24h0m0s"},
		{`{tcp: {port: 1}, interval: -1s}`, "interval"},
		{`{tcp: {port: 1}, timeout: 1h}`, "healthcheck.timeout"},
		{`{tcp: {port: 1}, retries: 5000}`, "healthcheck.retries"},
		{`{liveness: {interval: 2s}}`, "healthcheck.liveness.exec: must not be empty; a probe has one of"},
		{`{liveness: {tcp: {port: 1}}, tcp: {port: 1}}`, "healthcheck.liveness: there is a probe without a kind, tcp, too"},
		{`{liveness: {tcp: {port: 1}}, interval: 2s}`, "healthcheck.liveness: interval, timeout"},
		{`{liveness: {tcp: {port: 1}}, disable: true}`, "healthcheck.disable: there is liveness too"},
		{`{tcp: {port: 1}, disable: true}`, "healthcheck.disable: there is tcp too"},
		{`{tcp: {port: 1}, test: x}`, "healthcheck.test: tcp says it too"},
		{`{startup: {tcp: {port: 1}}, test: x}`, "healthcheck.test: startup says it too"},
		{`{probe: {tcp: {port: 1}}}`, "healthcheck.probe: unknown key"},
		{`{tcp: {port: 1}, start_period: 48h}`, "healthcheck.start_period"},
	} {
		_, err := parseOne(t, c.file)
		require.ErrorContains(t, err, c.want, c.file)
		require.ErrorContains(t, err, "application.yml: ", c.file)
	}
}

func TestDependencies(t *testing.T) {
	checked := "- {name: db, image: x, replica: 1, healthcheck: {tcp: {port: 1}}}"
	job := "- {name: job, image: x, replica: 1, restart: {policy: on-failure}}"
	for _, c := range []struct{ file, want string }{
		{`[db, job]`, `["db","job"]`},
		{`[{service: db}, {service: job, condition: started}]`, `["db","job"]`},
		{`[{service: db, condition: healthy}, {service: job, condition: stopped}]`,
			`[{"condition":"healthy","service":"db"},{"condition":"stopped","service":"job"}]`},
		{`{db: {condition: service_healthy}, job: {condition: service_completed_successfully}}`,
			`[{"condition":"healthy","service":"db"},{"condition":"stopped","service":"job"}]`},
		{`{db: {condition: service_started}}`, `["db"]`},
	} {
		conf, err := app.Parse("x.yml", withServices(checked, job, "- {name: a, image: x, depends_on: "+c.file+"}"))
		require.NoError(t, err, c.file)
		data, err := json.Marshal(conf.Services[2].DependsOn)
		require.NoError(t, err)
		require.JSONEq(t, c.want, string(data))
		var back app.Dependencies
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, conf.Services[2].DependsOn, back)
	}
	for _, c := range []struct{ file, want string }{
		{`[c]`, `depends_on[0]: there is no service "c"; add it to services`},
		{`[{service: db, condition: up}]`, `condition: must be one of started, healthy, stopped; found "up"`},
		{`[{service: job, condition: healthy}]`, "depends_on[0].condition: service job has no healthcheck"},
		{`[{service: db, condition: stopped}]`, "service db never stays stopped: its restart.policy is always"},
		{`[{service: none, condition: healthy}]`, "service none has no replicas"},
		{`[{service: db, condition: healthy}, db]`, `"db" stands twice`},
		{`[{name: db}]`, "unknown key"},
		{`{db: {condition: service_healthy, restart: true}}`, "restart: unknown key"},
		{`[yes]`, "write it in quotes"},
		{`db`, "expected a list of services"},
		{`[{service: a, condition: healthy}]`, "depends_on is a circle: a -> a"},
	} {
		_, err := app.Parse("x.yml", withServices(checked, job, "- {name: none, image: x}",
			"- {name: a, image: x, replica: 1, healthcheck: {tcp: {port: 1}}, depends_on: "+c.file+"}"))
		require.ErrorContains(t, err, c.want, c.file)
	}
}

// In the form of compose the names of others are their keys.
func TestDependenciesOfCompose(t *testing.T) {
	c, err := app.Parse("x.yml", []byte(`
services:
  web: {image: x, replica: 1, depends_on: {db: {condition: service_healthy}}}
  db: {image: x, container_name: store, replica: 1, healthcheck: {test: [CMD, x]}}
`))
	require.NoError(t, err)
	require.Equal(t, app.Dependencies{{Service: "store", Condition: app.ConditionHealthy}}, c.Services[0].DependsOn)
}

func FuzzDependenciesAndHealth(f *testing.F) {
	f.Add(`[{service: b, condition: healthy}]`, `{tcp: {port: 1}}`)
	f.Add(`{b: {condition: service_healthy}}`,
		`{startup: {exec: {command: [a]}}, readiness: {http: {port: 1, status: [200]}}}`)
	f.Add(`[b, a]`, `{test: [CMD-SHELL, x], interval: 1s}`)
	f.Add(`[~]`, `{grpc: {port: 1, service: "\x00"}}`)
	f.Fuzz(func(t *testing.T, on, health string) {
		c, err := app.Parse("x", withServices("- {name: b, image: x, replica: 1, healthcheck: "+health+"}",
			"- {name: a, image: x, depends_on: "+on+"}"))
		if err != nil {
			return
		}
		for _, s := range c.Services {
			data, err := json.Marshal(s)
			require.NoError(t, err)
			var back app.Service
			require.NoError(t, json.Unmarshal(data, &back))
			again, err := json.Marshal(back)
			require.NoError(t, err)
			require.JSONEq(t, string(data), string(again))
			for kind, p := range s.Healthcheck.Probes(true) {
				require.Positive(t, p.Interval, kind)
				require.Positive(t, p.Timeout, kind)
				require.Positive(t, p.Retries, kind)
			}
		}
	})
}

// The JSON, of which the digest of a service is made, is that of versions without probes and conditions where a file
// has none: otherwise their successor would start everything anew.
func TestJSONOfBefore(t *testing.T) {
	type before struct {
		Test        app.Test      `json:"test,omitempty"`
		Interval    time.Duration `json:"interval,omitempty"`
		Timeout     time.Duration `json:"timeout,omitempty"`
		StartPeriod time.Duration `json:"start_period,omitempty"`
		Retries     int           `json:"retries,omitempty"`
		Disable     bool          `json:"disable,omitempty"`
	}
	for _, b := range []before{
		{}, {Disable: true}, {Interval: time.Second}, {Test: app.Test{"CMD", "x"}, Timeout: 1, StartPeriod: 2, Retries: 3},
	} {
		want, err := json.Marshal(b)
		require.NoError(t, err)
		got, err := json.Marshal(app.Healthcheck{
			Test: b.Test, Interval: b.Interval, Timeout: b.Timeout, StartPeriod: b.StartPeriod, Retries: b.Retries,
			Disable: b.Disable,
		})
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	got, err := json.Marshal(app.Service{Name: "a", DependsOn: app.On("b", "c")})
	require.NoError(t, err)
	require.Contains(t, string(got), `"depends_on":["b","c"]`)
	got, err = json.Marshal(app.Service{Name: "a"})
	require.NoError(t, err)
	require.NotContains(t, string(got), "depends_on")
	require.NotContains(t, string(got), "healthcheck")
}
