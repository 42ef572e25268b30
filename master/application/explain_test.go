package application_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const explained = `version: v1
services:
  - name: a
    image: i
    replica: 1
    env: {X: "1", DB_PASSWORD: one, URL: "tcp://u:p@h:1"}
    args: [-v, --token, token-1a, x]
    mounts: [{name: v, path: p}]
  - name: b
    image: i
    replica: 1
volumes: [{name: v, path: x/1}]
`

func explain(t *testing.T, old, new string) masterapi.Plan {
	before, err := app.Parse("old", []byte(old))
	require.NoError(t, err)
	after, err := app.Parse("new", []byte(new))
	require.NoError(t, err)
	p, err := application.Explain(before, after, []byte(new))
	require.NoError(t, err)
	return p
}

// why are action and reasons of a service, one a line.
func why(p masterapi.Plan, service string) (out []string) {
	for _, s := range p.Services {
		if s.Name == service {
			out = append(out, s.Action)
			for _, r := range s.Reasons {
				out = append(out, fmt.Sprintf("%d %s: %s -> %s", r.Line, r.Path, r.Old, r.New))
			}
		}
	}
	return out
}

func TestExplain(t *testing.T) {
	p := explain(t, explained, explained)
	require.False(t, p.Changed)
	require.Equal(t, []string{"keep"}, why(p, "a"))

	p = explain(t, explained, strings.NewReplacer(`X: "1"`, `X: "2"`, "one", "two", "u:p@", "u:q@", "token-1a", "token-2b",
		"x/1", "x/2").Replace(explained))
	require.True(t, p.Changed)
	require.Equal(t, []string{"restart",
		"7 services[0].args[2]: *** -> ***",
		"6 services[0].env.DB_PASSWORD: *** -> ***",
		"6 services[0].env.URL: tcp://u:***@h:1 -> tcp://u:***@h:1",
		"6 services[0].env.X: 1 -> 2",
		"12 volumes[0].path: x/1 -> x/2",
	}, why(p, "a"))
	require.Equal(t, []string{"keep"}, why(p, "b"))
	require.Equal(t, masterapi.ActionChanged, p.Volumes[0].Action)

	p = explain(t, explained, "services: [{name: c, image: j}]\n")
	require.Equal(t, []string{"stop"}, why(p, "a"))
	require.Equal(t, []string{"start"}, why(p, "c"))
	require.Equal(t, []masterapi.NamedChange{{Name: "i", Action: "removed"}, {Name: "j", Action: "added"}}, p.Images)
	require.Equal(t, "removed", p.Volumes[0].Action)

	p = explain(t, explained, strings.Replace(explained, "[-v, --token, token-1a, x]", "[--secret=s3cret-1]", 1))
	require.Equal(t, []string{"restart", `7 services[0].args: ["-v","--token","***","x"] -> ["--secret=***"]`},
		why(p, "a"))
	p = explain(t, explained, strings.Replace(explained, "    replica: 1\n    env", "    env", 1))
	require.Equal(t, []string{"restart", "3 services[0].replica: 1 -> "}, why(p, "a"))
}

// Both forms of a file have lines, and hundreds of reasons and long values are cut.
func TestExplainComposeAndBounds(t *testing.T) {
	const compose = "version: '3'\nservices:\n  a:\n    image: i\n    environment:\n      X: '1'\n"
	p := explain(t, compose, strings.Replace(compose, "'1'", "'2'", 1))
	require.Equal(t, []string{"restart", "3 services.a.env.X: 1 -> 2"}, why(p, "a"))

	many := func(v string) string {
		var b strings.Builder
		b.WriteString("services:\n  - name: a\n    image: i\n    env:\n")
		for i := range 300 {
			fmt.Fprintf(&b, "      V%03d: %s\n", i, strings.Repeat(v, 1000))
		}
		return b.String()
	}
	p = explain(t, many("x"), many("y"))
	require.Len(t, p.Services[0].Reasons, 51)
	require.Equal(t, "… 250 more", p.Services[0].Reasons[50].Path)
	require.Len(t, p.Services[0].Reasons[0].New, 203)
}

func FuzzExplain(f *testing.F) {
	f.Add(explained, "services: [{name: a, image: i, env: {A: b}}]\n")
	f.Add("{}", explained)
	f.Fuzz(func(t *testing.T, old, new string) {
		before, err := app.Parse("old", []byte(old))
		if err != nil {
			return
		}
		after, err := app.Parse("new", []byte(new))
		if err != nil {
			return
		}
		p, err := application.Explain(before, after, []byte(new))
		require.NoError(t, err)
		diff, err := application.Diff(before, after)
		require.NoError(t, err)
		require.Equal(t, p.Changed, len(diff.Start)+len(diff.Stop) > 0)
		for _, s := range p.Services {
			require.Equal(t, s.Action == masterapi.ActionPlanRestart, len(s.Reasons) > 0, s.Name)
		}
	})
}
