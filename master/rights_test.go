package master_test

import (
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
	require.Eventually(t, func() bool { return len(d.fake.Running()) == len(services) }, 10*time.Second,
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
