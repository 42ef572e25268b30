package cmd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/cmd"
)

// `baetyl sql test` needs no master: it says what a statement makes of a message, or where it is wrong.
func TestSQL(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "service.yml")
	require.NoError(t, os.WriteFile(file, []byte(
		"server: {address: 'x'}\nfunctions: [{name: a, handler: 'select x'}, {name: b, handler: 'select y as z'}]\n"), 0o600))
	for _, c := range []struct {
		args   []string
		stdin  string
		status int
		out    string
		err    string
	}{
		{[]string{"--sql", "SELECT a*2 AS b, topic() AS t WHERE a > 1", "--message", `{"a":2}`, "--topic", "s/1"}, "", 0,
			`{"b":4,"t":"s/1"}` + "\n", ""},
		{[]string{"--sql", "select a where a > 1", "-m", `{"a":1}`}, "", 0, "", "no match"},
		{[]string{"--sql", "-", "-m", `{"a":1}`}, "select a", 0, "{\"a\":1}\n", ""},
		{[]string{"--file", file, "-m", `{"x":1}`}, "", 0, "{\"x\":1}\n", ""},
		{[]string{"--file", file, "--function", "b", "-m", "-"}, `{"y":"é"}`, 0, "{\"z\":\"é\"}\n", ""},
		{[]string{"--file", file, "--function", "c", "-m", "{}"}, "", 1, "", "there is no function \"c\", only a, b"},
		{[]string{"--file", file + "x", "-m", "{}"}, "", 78, "", "no such file"},
		{[]string{"--sql", "select\n  é, nope(a)", "-m", "{}"}, "", 1, "",
			"baetyl: 2:6: unknown function nope\n    é, nope(a)\n       ^\n"},
		{[]string{"--sql", "select a\x1b[2J", "-m", "{}"}, "", 1, "", `\x1b`},
		{[]string{"--sql", "select a", "-m", "not JSON"}, "", 1, "", "not a JSON object"},
		{[]string{"--sql", "select a/b as c", "-m", `{"a":1,"b":0}`}, "", 1, "", "division by zero"},
		{[]string{"--sql", "select a"}, "", 2, "", "--message is missing"},
		{[]string{"-m", "{}"}, "", 2, "", "one of the two"},
		{[]string{"--sql", "a", "--file", file, "-m", "{}"}, "", 2, "", "one of the two"},
		{[]string{"--sql", "-", "-m", "-"}, "", 2, "", "not both"},
		{[]string{"--sql", "select a", "-m", "{}", "--qos", "3"}, "", 2, "", "0, 1 or 2"},
		{[]string{"--sql", "select a", "-m", "{}", "more"}, "", 2, "", "unexpected argument"},
	} {
		var stdout, stderr bytes.Buffer
		status := cmd.Execute(append([]string{"sql", "test"}, c.args...), strings.NewReader(c.stdin), &stdout, &stderr)
		require.Equal(t, c.status, status, "%q: %s", c.args, stderr.String())
		require.Equal(t, c.out, stdout.String(), "%q", c.args)
		require.Contains(t, stderr.String(), c.err, "%q", c.args)
		require.NotContains(t, stderr.String(), "\x1b")
	}
}
