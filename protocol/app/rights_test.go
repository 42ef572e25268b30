package app_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/app"
)

func TestRights(t *testing.T) {
	const (
		manager = "api: [report, inspect, start, stop, ports]"
		agent   = "api: [report, inspect, update]"
		other   = "api: [report]"
	)
	for image, want := range map[string]string{
		"baetyl-function-manager":                          manager,
		"baetyl-function-manager:latest":                   manager,
		"hub.example.com/baetyl/baetyl-agent:0.1.6":        agent,
		"127.0.0.1:5000/baetyl-agent":                      agent,
		"baetyl-agent@sha256:00":                           agent,
		"hub.example.com/openedge/openedge-agent:0.1.2":    agent,
		"openedge-function-manager":                        manager,
		"baetyl-hub":                                       other,
		"evil/baetyl-agent/x":                              other,
		"my-baetyl-agent":                                  other,
		"baetyl-agent:1/x:baetyl-agent":                    other,
		"hub.example.com/baetyl/baetyl-function-python36:": other,
	} {
		require.Equal(t, want, app.Line(app.Service{Image: image}.Rights()), image)
	}
}

// api: replaces the default, whichever form the file has; an empty list takes everything.
func TestRightsOfTheFile(t *testing.T) {
	for text, want := range map[string]string{
		"services: [{name: a, image: baetyl-agent}]":                                          "[report, inspect, update]",
		"services: [{name: a, image: baetyl-agent, api: }]":                                   "[report, inspect, update]",
		"services: [{name: a, image: baetyl-agent, api: []}]":                                 "[]",
		"services: [{name: a, image: i, api: [inspect, report]}]":                             "[inspect, report]",
		"services: [{name: a, image: i, api: [start: [a, b], stop]}]":                         "[{start: [a, b]}, stop]",
		"services: [{name: a, image: i, api: [start, {start: [b]}, {stop: ['1']}]}]":          `[start, {start: [b]}, {stop: ["1"]}]`,
		"services: [{name: a, image: i, api: [start: ['n', 'on', 'n-1']]}]":                   `[{start: ["n", "on", n-1]}]`,
		"services: {a: {image: baetyl-function-manager, api: [ports]}}":                       "[ports]",
		"services: {a: {image: baetyl-function-manager, api: []}}":                            "[]",
		"services: {a: {image: baetyl-function-manager}}":                                     "[report, inspect, start, stop, ports]",
		"services: {a: {image: i, api: [{start: [b, x]}]}, b: {image: i, container_name: c}}": "[{start: [c, x]}]",
	} {
		c, err := app.Parse("application.yml", []byte(text))
		require.NoError(t, err, text)
		require.Equal(t, "api: "+want, app.Line(c.Services[0].Rights()), text)
	}
	const all = "must be one of inspect, update, ports, start, stop, report; found "
	for api, want := range map[string]string{
		"[root]":                           `services[0].api[0]: ` + all + `"root"`,
		"[1]":                              `services[0].api[0]: ` + all + `"1"`,
		"[inspect, null]":                  `services[0] (a).api[1]: ` + all + `""`,
		"[ports, ports]":                   `api[1]: "ports" stands twice; keep one of them`,
		"inspect":                          "services[0].api: expected a list",
		"{start: [b]}":                     "services[0].api: expected a list, found a mapping; write each entry after a dash",
		"[[start]]":                        "services[0].api[0]: expected inspect, update, ports, start, stop, report, or start and stop",
		"[{inspect: true}]":                "services[0].api[0].inspect: unknown key; known here: start, stop",
		"[{Start: [b]}]":                   "services[0].api[0].Start: unknown key; known here: start, stop",
		"[{}]":                             "services[0].api[0]: must be one right",
		"[{start: [b], stop: [b]}]":        "services[0].api[0]: must be one right; write each as an entry of its own: {start: [name]}",
		"[{start: b}]":                     "services[0].api[0].start: expected a list of services, found b; write {start: [name]}",
		"[{start: }]":                      "services[0].api[0].start: expected a list of services, found <nil>",
		"[{start: []}]":                    "services[0].api[0]: start: names no service; name one, or leave the entry out",
		"[{start: [b, b]}]":                `services[0].api[0]: start[1]: "b" stands twice`,
		"[{start: [on]}]":                  "services[0].api[0].start: expected names of services, found true; write it in quotes",
		"[{start: ['*']}]":                 `services[0].api[0]: start[0]: name "*": use 1 to 64 letters`,
		"[{start: [b]}, {start: [c]}]":     `api[1]: "start" stands twice; write all services in one of them`,
		"[{start: [b]}, stop, {stop: 1}]":  "services[0].api[2].stop: expected a list of services",
		"[{start: [b]}, inspect, inspect]": `api[2]: "inspect" stands twice`,
	} {
		text := "services: [{name: a, image: i, api: " + api + "}]"
		_, err := app.Parse("application.yml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// Names alone are written as earlier versions did, whose digest of a service is made of them.
func TestRightsAreWrittenAsBefore(t *testing.T) {
	rights := []app.Right{{Name: app.RightInspect}, {Name: app.RightStart, Of: []string{"f", "g"}}}
	data, err := json.Marshal(rights)
	require.NoError(t, err)
	require.Equal(t, `["inspect",{"start":["f","g"]}]`, string(data))
	data, err = yaml.Marshal(rights)
	require.NoError(t, err)
	require.Equal(t, "- inspect\n- start:\n  - f\n  - g\n", string(data))
	var again []app.Right
	require.NoError(t, yaml.Unmarshal(data, &again))
	require.Equal(t, rights, again)
}

// A name alone is for services without replicas, names of services are for these and no others.
func TestRightsForServices(t *testing.T) {
	f, g := app.Service{Name: "f"}, app.Service{Name: "g"}
	hub := app.Service{Name: "hub", Replica: 1}
	bare := app.Right{Name: app.RightStart}
	named := app.Right{Name: app.RightStart, Of: []string{"f", "hub"}}
	for _, c := range []struct {
		rights []app.Right
		may    []app.Service
		not    []app.Service
	}{
		{nil, nil, []app.Service{f, g, hub}},
		{[]app.Right{bare}, []app.Service{f, g}, []app.Service{hub}},
		{[]app.Right{named}, []app.Service{f, hub}, []app.Service{g}},
		{[]app.Right{bare, named}, []app.Service{f, g, hub}, nil},
		{[]app.Right{{Name: app.RightStop}, {Name: app.RightUpdate}}, nil, []app.Service{f, g, hub}},
	} {
		for _, s := range c.may {
			require.True(t, app.HasFor(c.rights, app.RightStart, s), "%v %s", c.rights, s.Name)
		}
		for _, s := range c.not {
			require.False(t, app.HasFor(c.rights, app.RightStart, s), "%v %s", c.rights, s.Name)
			after := app.With(c.rights, app.RightStart, s.Name)
			require.True(t, app.HasFor(after, app.RightStart, s), "the line that is to be added is enough: %v", after)
		}
	}
	require.Equal(t, "api: [start, {start: [f, hub, g]}]", app.Line(app.With([]app.Right{bare, named}, "start", "g")))
	require.Equal(t, "api: [report]", app.Line(app.With(nil, "report", "f")), "no matter of a service")
	require.Equal(t, "api: [start]", app.Line(app.With(nil, "start", "f: g\n")), "no service has that name")
	require.Equal(t, []string{"f", "hub"}, named.Of, "With changes nothing of its argument")
}

// Which variables a request may set, and the line with which it could.
func TestAcceptedVariables(t *testing.T) {
	s := app.Service{Name: "f", AcceptEnv: []string{"LEVEL", "APP_*"}}
	for name, want := range map[string]bool{
		"BAETYL_SERVICE_INSTANCE_ADDRESS": true, "OPENEDGE_SERVICE_ADDRESS": true, "BAETYL_X": true, "LEVEL": true,
		"APP_X": true, "APP_": true,
		"LD_PRELOAD": false, "PATH": false, "BAETYL": false, "baetyl_x": false, "XBAETYL_": false, "LEVEL2": false,
		"APP": false, "app_x": false, "": false, "APP_*": true, "*": false, "PYTHONPATH": false, "NODE_OPTIONS": false,
	} {
		require.Equal(t, want, s.Accepts(name), name)
	}
	require.Equal(t, "accept_env: [LEVEL, APP_*, A, B]", s.AcceptLine("A", "B"))
	require.Equal(t, "accept_env: [A]", app.Service{}.AcceptLine("A"))
	require.Empty(t, s.AcceptLine("A", "a b"), "no line accepts it")
	require.Empty(t, s.AcceptLine("A*"))
	for entry, want := range map[string]string{
		"'*'":    `accept_env[0]: "*": write the name of an environment variable, or the beginning of names and *, such as APP_*`,
		"A=b":    `accept_env[0]: "A=b"`,
		"''":     `accept_env[0]: ""`,
		"'A*B'":  `accept_env[0]: "A*B"`,
		"1A":     `accept_env[0]: "1A"`,
		"'A B'":  `accept_env[0]: "A B"`,
		"A, A":   `accept_env[1]: "A" stands twice; keep one of them`,
		"[A]":    "accept_env[0]: expected a text",
		"{A: b}": "accept_env[0]: expected a text",
	} {
		for _, text := range []string{
			"services: [{name: f, image: i, accept_env: [" + entry + "]}]",
			"services: {f: {image: i, accept_env: [" + entry + "]}}",
		} {
			_, err := app.Parse("application.yml", []byte(text))
			require.ErrorContains(t, err, want, text)
		}
	}
	c, err := app.Parse("application.yml", []byte("services: {f: {image: i, accept_env: [A, B_*]}}"))
	require.NoError(t, err)
	require.Equal(t, []string{"A", "B_*"}, c.Services[0].AcceptEnv)
}
