package docs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	hub "github.com/baetyl/baetyl/baetyl-hub/config"
	bridge "github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
)

// configs load the samples of `config` as those whom they are for.
var configs = map[string]func(text string) error{
	"application": func(text string) error {
		_, err := app.Parse("application.yml", []byte(text))
		return err
	},
	"service": func(text string) error { // keys of a service
		text = "services:\n  - name: x\n    image: x\n" + indented(text, "    ")
		_, err := app.Parse("application.yml", []byte(text))
		return err
	},
	"hub": func(text string) error {
		return conf.Parse("service.yml", []byte(text), &hub.Config{})
	},
	"bridge": func(text string) error {
		return conf.Parse("service.yml", []byte(text), &bridge.Config{}, conf.AllowKeys("hub", "logger"))
	},
	"master": func(text string) error {
		return conf.Parse("conf.yml", []byte(text), &master.Config{})
	},
	"sdk": func(text string) error {
		return conf.Parse("service.yml", []byte(text), &struct {
			Hub mqtt.ClientInfo `yaml:"hub" json:"hub"`
		}{})
	},
}

func indented(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by) + "\n"
}

// The configurations that documents show are right for those whom they are for, and parts of the example are in it.
func TestConfigurations(t *testing.T) {
	pages(t, func(name string, steps []step) {
		for _, s := range steps {
			switch s.verb {
			case "config":
				require.NotNil(t, configs[s.rest], "%s:%d: there is no %s", name, s.line, s.rest)
				require.NoError(t, configs[s.rest](s.text), "%s:%d", name, s.line)
			case "part of":
				text, err := os.ReadFile(root + "/" + s.rest)
				require.NoError(t, err, "%s:%d", name, s.line)
				var part, whole any
				require.NoError(t, yaml.Unmarshal([]byte(s.text), &part), "%s:%d", name, s.line)
				require.NoError(t, yaml.Unmarshal(text, &whole), s.rest)
				require.True(t, has(whole, part), "%s:%d: %s has not what stands here", name, s.line, s.rest)
			}
		}
	})
}

// has tells whether part stands in whole: there or below, the keys of each mapping and elements of each list.
func has(whole, part any) bool {
	if covers(whole, part) {
		return true
	}
	switch w := whole.(type) {
	case map[string]any:
		for _, v := range w {
			if has(v, part) {
				return true
			}
		}
	case []any:
		for _, v := range w {
			if has(v, part) {
				return true
			}
		}
	}
	return false
}

func covers(whole, part any) bool {
	switch p := part.(type) {
	case map[string]any:
		w, ok := whole.(map[string]any)
		for k, v := range p {
			ok = ok && covers(w[k], v)
		}
		return ok
	case []any:
		w, ok := whole.([]any)
		for _, v := range p {
			found := false
			for _, one := range w {
				found = found || covers(one, v)
			}
			ok = ok && found
		}
		return ok
	}
	return whole == part
}
