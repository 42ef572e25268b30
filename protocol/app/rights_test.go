package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

func TestRights(t *testing.T) {
	manager := []string{"report", "inspect", "start", "stop", "ports"}
	agent := []string{"report", "inspect", "update"}
	for image, want := range map[string][]string{
		"baetyl-function-manager":                          manager,
		"baetyl-function-manager:latest":                   manager,
		"hub.example.com/baetyl/baetyl-agent:0.1.6":        agent,
		"127.0.0.1:5000/baetyl-agent":                      agent,
		"baetyl-agent@sha256:00":                           agent,
		"hub.example.com/openedge/openedge-agent:0.1.2":    agent,
		"openedge-function-manager":                        manager,
		"baetyl-hub":                                       {"report"},
		"evil/baetyl-agent/x":                              {"report"},
		"my-baetyl-agent":                                  {"report"},
		"baetyl-agent:1/x:baetyl-agent":                    {"report"},
		"hub.example.com/baetyl/baetyl-function-python36:": {"report"},
	} {
		require.Equal(t, want, app.Service{Image: image}.Rights(), image)
	}
}

// api: replaces the default, whichever form the file has; an empty list takes everything.
func TestRightsOfTheFile(t *testing.T) {
	for text, want := range map[string][]string{
		"services: [{name: a, image: baetyl-agent}]":                    {"report", "inspect", "update"},
		"services: [{name: a, image: baetyl-agent, api: }]":             {"report", "inspect", "update"},
		"services: [{name: a, image: baetyl-agent, api: []}]":           {},
		"services: [{name: a, image: i, api: [inspect, report]}]":       {"inspect", "report"},
		"services: {a: {image: baetyl-function-manager, api: [ports]}}": {"ports"},
		"services: {a: {image: baetyl-function-manager, api: []}}":      {},
		"services: {a: {image: baetyl-function-manager}}":               {"report", "inspect", "start", "stop", "ports"},
	} {
		c, err := app.Parse("application.yml", []byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, c.Services[0].Rights(), text)
	}
	for text, want := range map[string]string{
		"services: [{name: a, image: i, api: [root]}]":          `services[0].api[0]: must be one of inspect, update, ports, start, stop, report; found "root"`,
		"services: [{name: a, image: i, api: [ports, ports]}]":  `api[1]: "ports" stands twice`,
		"services: [{name: a, image: i, api: inspect}]":         "api",
		"services: {a: {image: i, api: [{inspect: true}]}}":     "api",
		"services: [{name: a, image: i, api: [inspect, null]}]": "api[1]",
	} {
		_, err := app.Parse("application.yml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// The schema knows the rights that the code knows.
func TestRightsOfTheSchema(t *testing.T) {
	for k := range conf.Schema[app.Config]().All() {
		if k.Path == "services[].api[]" {
			require.Equal(
				t,
				[]string{app.RightInspect, app.RightUpdate, app.RightPorts, app.RightStart, app.RightStop, app.RightReport},
				k.Allowed,
			)
			return
		}
	}
	t.Fatal("there is no services[].api[]")
}
