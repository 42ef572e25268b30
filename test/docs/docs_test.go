//go:build docs

package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// TestDocuments does what each page says, each in a fresh copy of the repository that make has built.
func TestDocuments(t *testing.T) {
	requires.Command(t, "mosquitto", "apt-get install mosquitto")
	requires.Command(t, "mosquitto_sub", "apt-get install mosquitto-clients")
	built := filepath.Join(t.TempDir(), "baetyl")
	for _, line := range []string{"git clone -q " + root + " " + built, "make -C " + built} {
		out, err := exec.Command("sh", "-c", line).CombinedOutput()
		require.NoError(t, err, "%s: %s", line, out)
	}
	only := regexp.MustCompile(os.Getenv("PAGE"))
	pages(t, func(name string, steps []step) {
		runs := slices.ContainsFunc(steps, func(s step) bool {
			return s.verb == "table" || slices.Contains(commands, s.lang) && s.verb != "by" && s.verb != "not,"
		})
		if !runs || !only.MatchString(name) {
			return
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "baetyl")
			out, err := exec.Command("cp", "-a", built, dir).CombinedOutput()
			require.NoError(t, err, string(out))
			r := open(t, dir, name)
			for _, s := range steps {
				r.follow(s)
			}
		})
	})
}

// example is what a page means that says: start the example.
const example = "make run"

// running succeeds when each rule of the example has its client at the hub.
const running = "./output/bin/baetyl hub subscriptions | grep -q node85"

// stops is a line of a table: a command, two blanks or more, and what it does.
var stops = regexp.MustCompile(`\s{2,}.*`)

// follow does one step of a page.
func (r *reader) follow(s step) {
	r.Helper()
	lines := strings.Split(strings.TrimSpace(s.text), "\n")
	ok := func(text string) {
		r.Helper()
		require.Equal(r, "0", r.run(text), "%s:%d: %s", r.page, s.line, text)
	}
	switch s.verb {
	case "":
		if slices.Contains(commands, s.lang) {
			ok(s.text)
		}
	case "fails":
		require.NotEqual(r, "0", r.run(s.text), "%s:%d: %s", r.page, s.line, s.text)
	case "terminal,":
		r.open(s.text, strings.TrimPrefix(s.rest, "until "))
	case "terminals":
		for _, line := range lines[:len(lines)-1] {
			r.open(line, "")
		}
		ok(lines[len(lines)-1])
	case "table":
		for _, line := range lines {
			ok(stops.ReplaceAllString(line, ""))
		}
	case "shows":
		for _, line := range lines {
			r.until(line, func() bool { return shown(line, r.seen.String()) })
		}
	case "write":
		path := filepath.Join(r.where(), s.rest)
		require.NoError(r, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(r, os.WriteFile(path, []byte(s.text), 0o644))
	case "example":
		r.open(example, "mosquitto_sub")
		r.until(running, func() bool { return r.run(running) == "0" })
		ok("cd output && PATH=$PWD/bin:$PATH")
	case "do":
		ok(s.rest)
	case "wait":
		r.until(s.rest, func() bool { return r.run(s.rest) == "0" })
	case "stop":
		n := slices.IndexFunc(r.terminals, func(one *terminal) bool { return strings.Contains(one.text, s.rest) })
		require.NotEqual(r, -1, n, "%s:%d: no terminal has %s", r.page, s.line, s.rest)
		r.terminals[n].stop()
		r.terminals = slices.Delete(r.terminals, n, n+1)
	}
}
