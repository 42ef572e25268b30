package master_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// What each service may do: by its image, or by its api list. Whatever is not allowed is 403 and says what to write
// where.
func TestRights(t *testing.T) {
	const all = "inspect update ports start stop report"
	services := []struct{ name, definition, listed string }{
		{"manager", "image: 'hub.example.com/baetyl/baetyl-function-manager:0.1.6'", "report inspect start stop ports"},
		{"agent", "image: 'baetyl-agent'", "report inspect update"},
		{"old", "image: 'openedge-agent:0.1.2'", "report inspect update"},
		{"hub", "image: 'baetyl-hub'", "report"},
		{"wide", "image: x, api: [inspect, ports]", "inspect ports"},
		{"narrow", "image: baetyl-agent, api: [report, inspect]", "report inspect"},
		{"nothing", "image: baetyl-agent, api: []", ""},
	}
	d := newDevice(t)
	text := "services:\n  - {name: f, image: x}\n"
	for _, s := range services {
		text += fmt.Sprintf("  - {name: %s, replica: 1, %s}\n", s.name, s.definition)
	}
	d.write(t, application.File, text)
	d.boot(t)
	require.Eventually(t, func() bool { return len(d.fake.Running()) == len(services) }, time.Minute,
		time.Millisecond, "not booted")
	for _, s := range services {
		c := d.clientAs(t, s.name, d.fake.Env(s.name)[masterapi.EnvServiceToken])
		for _, version := range []string{"/" + masterapi.Version, ""} { // clients before 0.1.4 know no version
			path := func(p string) string { return version + strings.TrimPrefix(p, "/"+masterapi.Version) }
			calls := map[string]func() error{
				"inspect": func() error { return c.Get(t.Context(), path(masterapi.PathInspect), nil) },
				"ports":   func() error { return c.Get(t.Context(), path(masterapi.PathPortAvailable), nil) },
				"update":  func() error { return c.Put(t.Context(), path(masterapi.PathUpdate), masterapi.UpdateRequest{}, nil) },
				"start": func() error {
					return c.Put(t.Context(), path(masterapi.PathInstance("f", "f.1", masterapi.ActionStart)),
						map[string]string{}, nil)
				},
				"stop": func() error {
					return c.Put(t.Context(), path(masterapi.PathInstance("f", "f.1", masterapi.ActionStop)), nil, nil)
				},
				"report": func() error {
					return c.Put(t.Context(), path(masterapi.PathInstance(s.name, s.name, masterapi.ActionReport)),
						map[string]int{"n": 1}, nil)
				},
			}
			for _, right := range strings.Fields(all) {
				err := calls[right]()
				switch {
				case !slices.Contains(strings.Fields(s.listed), right):
					if right == "start" || right == "stop" {
						right = "{" + right + ": [f]}"
					}
					line := strings.Join(append(strings.Fields(s.listed), right), ", ")
					requireStatus(t, err, 403, fmt.Sprintf("write api: [%s] at service %s in application.yml", line, s.name))
				case right == "update":
					requireStatus(t, err, 422, "path: must not be empty")
				default:
					require.NoError(t, err, "%s may %s", s.name, right)
				}
			}
		}
		other := c.Put(t.Context(), masterapi.PathInstance("f", "f", "report"), map[string]int{"n": 1}, nil)
		requireStatus(t, other, 403, "")
	}
	var anonymous *http.Error
	require.ErrorAs(t, d.clientAs(t, "agent", "x").Get(t.Context(), masterapi.PathInspect, nil), &anonymous)
	require.Equal(t, 401, anonymous.Status, "who is not known is not told what it may not")
}

// Instances are started and stopped of the services that a right is for, and nobody starts or stops replicas or sets
// variables that the service does not accept.
func TestRightsOfInstances(t *testing.T) {
	d := newDevice(t)
	d.write(t, application.File, `
services:
  - {name: f, image: x}
  - {name: g, image: x, accept_env: [LEVEL, APP_*]}
  - {name: hub, image: baetyl-hub, replica: 1}
  - {name: manager, image: baetyl-function-manager, replica: 1}
  - {name: named, image: x, replica: 1, api: [{start: [g, hub]}, {stop: [g]}]}
  - {name: lost, image: x, replica: 1, api: [start: [gone]]}
`)
	d.boot(t) // also with a name of nobody: a version before may have accepted it
	require.Eventually(t, func() bool { return len(d.fake.Running()) == 4 }, time.Minute, time.Millisecond, "no boot")
	put := func(caller, service, instance, action string, vars map[string]string) error {
		c := d.clientAs(t, caller, d.fake.Env(caller)[masterapi.EnvServiceToken])
		return c.Put(t.Context(), masterapi.PathInstance(service, instance, action), vars, nil)
	}
	address := map[string]string{ // of the function manager
		masterapi.EnvInstanceAddress: "127.0.0.1:1", masterapi.EnvInstancePipe: "1",
		"OPENEDGE_SERVICE_INSTANCE_ADDRESS": "127.0.0.1:1", "OPENEDGE_SERVICE_ADDRESS": "127.0.0.1:1",
	}
	none := map[string]string{}
	const start, stop = masterapi.ActionStart, masterapi.ActionStop
	for _, c := range []struct {
		caller, service, instance, action string
		vars                              map[string]string
		want                              string // of the refusal; empty: none
	}{
		{"manager", "f", "f.sayhi.1", start, address, ""},
		{"manager", "g", "g.sayhi.1", start, map[string]string{"LEVEL": "1", "APP_X": "2"}, ""},
		{"manager", "f", "f.sayhi.1", stop, nil, ""},
		{"manager", "f", "f.never.1", stop, nil, ""},
		{"manager", "f", "f.sayhi.1", start, map[string]string{"LD_PRELOAD": "x.so"}, "write accept_env: [LD_PRELOAD] at service f in"},
		{"manager", "g", "g.sayhi.1", start, map[string]string{"LEVELS": ""}, "write accept_env: [LEVEL, APP_*, LEVELS] at service g"},
		{"manager", "f", "hub", start, none, "has the name of service (hub)"},
		{"manager", "hub", "hub.x", start, none,
			"write api: [report, inspect, start, stop, ports, {start: [hub]}] at service manager in application.yml"},
		{"manager", "hub", "hub.x", stop, none, "ports, {stop: [hub]}] at service manager"},
		{"manager", "hub", "hub", stop, nil, "is a replica of service (hub)"},
		{"manager", "manager", "manager", stop, nil, "is a replica of service (manager)"},
		{"named", "g", "g.1", start, none, ""},
		{"named", "g", "g.1", stop, nil, ""},
		{"named", "hub", "hub.1", start, none, ""},
		{"named", "hub", "hub.1", stop, nil, "write api: [{start: [g, hub]}, {stop: [g, hub]}] at service named"},
		{"named", "hub", "hub", start, none, "is a replica of service (hub)"},
		{"named", "f", "f.1", start, none, "write api: [{start: [g, hub, f]}, {stop: [g]}] at service named"},
		{"named", "f", "f.1", stop, nil, "write api: [{start: [g, hub]}, {stop: [g, f]}] at service named"},
		{"lost", "f", "f.1", start, none, "write api: [{start: [gone, f]}] at service lost"},
		{"lost", "f", "f.1", stop, nil, "write api: [{start: [gone]}, {stop: [f]}] at service lost"},
		{"hub", "f", "f.1", start, none, "write api: [report, {start: [f]}] at service hub"},
		{"hub", "f", "f.1", stop, nil, "write api: [report, {stop: [f]}] at service hub"},
	} {
		err := put(c.caller, c.service, c.instance, c.action, c.vars)
		if c.want == "" {
			require.NoError(t, err, "%s: %s %s", c.caller, c.action, c.instance)
			continue
		}
		requireStatus(t, err, 403, c.want)
	}
	require.Equal(t, 1, d.fake.Starts("hub"))
	require.Equal(t, 1, d.fake.Starts("manager"))
	require.Equal(t, "2", d.fake.Env("g.sayhi.1")["APP_X"])
}

// A new application may not have a right for a service that is not there.
func TestRightForNoService(t *testing.T) {
	d := newDevice(t)
	d.write(t, application.File, "services: [{name: probe, image: x, replica: 1, api: [update, inspect]}]\n")
	d.write(t, "var/db/baetyl/new/application.yml",
		"services: [{name: probe, image: x, replica: 1, api: [update, {stop: [gone]}]}]\n")
	d.boot(t)
	require.Eventually(t, func() bool { return d.fake.Env("probe") != nil }, time.Minute, time.Millisecond, "no boot")
	c := d.clientAs(t, "probe", d.fake.Env("probe")[masterapi.EnvServiceToken])
	var err error
	require.Eventually(t, func() bool { // the start of the application may still run
		err = c.Put(t.Context(), masterapi.PathUpdate, masterapi.UpdateRequest{Path: "var/db/baetyl/new"}, nil)
		var refused *http.Error
		return errors.As(err, &refused) && refused.Status != 409
	}, time.Minute, time.Millisecond)
	requireStatus(t, err, 422, `services[0] (probe).api[1].stop[0]: there is no service "gone"; add it to services`)
}
