package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

// Both forms take variables as values, also where the form is told by what is below services.
func TestVariables(t *testing.T) {
	t.Setenv("BAETYL_TEXT", "a #b \"c\"\n{d: [e")
	t.Setenv("BAETYL_NAME", "worker")
	t.Setenv("BAETYL_NUMBER", "2")
	t.Setenv("OPENEDGE_SIZE", "64m")
	for name, text := range map[string]string{
		"list": `
version: {{.BAETYL_TEXT}}
services:
- name: {{.BAETYL_NAME}}
  image: i
  replica: {{.BAETYL_NUMBER}}
  args: [--format, '{{{{.Names}}}} {{json .}}', {{.BAETYL_TEXT}}, {{{{.ID}}}}]
  env: {A: {{.BAETYL_TEXT}}, B: {{.BAETYL_NUMBER}}}
  resources: {memory: {limit: {{.OPENEDGE_SIZE}}}}
- {name: a, image: i}
`, "compose": `
app_version: {{.BAETYL_TEXT}}
services:
  {{.BAETYL_NAME}}:
    image: i
    replica: {{.BAETYL_NUMBER}}
    command: [--format, '{{{{.Names}}}} {{json .}}', {{.BAETYL_TEXT}}, {{{{.ID}}}}]
    environment: {A: {{.BAETYL_TEXT}}, B: {{.BAETYL_NUMBER}}}
    resources: {memory: {limit: {{.OPENEDGE_SIZE}}}}
  a: {image: i}
`} {
		c, err := app.Parse("f", []byte(text))
		require.NoError(t, err, name)
		require.Equal(t, "a #b \"c\"\n{d: [e", c.Version, name)
		s := c.Services[0] // in the order of the file
		require.Equal(t, "worker", s.Name, name)
		require.Equal(t, 2, s.Replica, name)
		require.Equal(t, []string{"--format", "{{.Names}} {{json .}}", "a #b \"c\"\n{d: [e", "{{.ID}}"}, s.Args, name)
		require.Equal(t, map[string]string{"A": "a #b \"c\"\n{d: [e", "B": "2"}, s.Env, name)
		require.EqualValues(t, 64<<20, s.Resources.Memory.Limit, name)
	}
	for _, text := range []string{
		"services: {{.BAETYL_NAME}}", "services: [{{.BAETYL_NAME}}]", "services: {a: {{.BAETYL_NAME}}}",
	} {
		_, err := app.Parse("f", []byte(text))
		require.ErrorContains(t, err, `"worker"`, "a variable adds no service")
	}
}
