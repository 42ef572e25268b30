// Package arch_test holds the code to its map: who may import whom. Arrows point down only.
//
//	main ─► cmd ─► master ─► master/service ─► master/engine ◄─ master/engine/{docker,native} ◄─ cmd
//	modules (baetyl-*) ─► sdk ─► protocol ─► utils
package arch_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/baetyl/baetyl"

// rule says what the packages at and below from may import of this repository: the packages at and below the entries of to.
// "." is the root package alone.
type rule struct {
	from string
	to   []string
}

// rules are read from top to bottom; the first whose from matches decides.
var rules = []rule{
	{"utils", []string{"utils"}},
	{"protocol", []string{"protocol", "utils"}},
	{"internal/functiontest", []string{"internal", "sdk", "protocol", "utils"}}, // calls runtimes as the function manager does
	{"internal", []string{"internal", "protocol", "utils"}},                     // what tests share
	{"sdk", []string{"sdk", "protocol", "utils"}},
	{"master/engine", []string{"master/engine", "protocol", "utils"}},
	{"master", []string{"master", "protocol", "utils"}},
	{"cmd", []string{"cmd", "master", "protocol", "utils"}},
	{"scripts", []string{"scripts", "utils"}},
	{"example", []string{"baetyl-hub", "protocol", "utils"}}, // example/cloud has a hub inside
	{"test", []string{"test", "internal", "sdk", "protocol", "utils"}},
	{".", []string{"cmd"}},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsFollowTheMap(t *testing.T) {
	for _, p := range list(t) {
		from := local(p.ImportPath)
		for _, i := range p.Imports {
			to, ok := strings.CutPrefix(i, module)
			if !ok {
				continue
			}
			to = local(module + to)
			if why := forbidden(from, to); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
	}
}

// forbidden returns why from must not import to, or "".
func forbidden(from, to string) string {
	if isEngine(to) && !isEngine(from) && !below(from, "cmd") {
		return "only cmd chooses an engine"
	}
	if isEngine(from) && isEngine(to) && !below(to, engineRoot(from)) {
		return "engines do not know each other"
	}
	for _, r := range slices.Concat(rules, moduleRules(from)) {
		if !below(from, r.from) {
			continue
		}
		for _, allowed := range r.to {
			if below(to, allowed) {
				return ""
			}
		}
		return "it may import only " + strings.Join(r.to, ", ")
	}
	return "no rule covers it: add it to the rules of this test"
}

// moduleRules are those of a module (baetyl-*): its own packages and what the SDK offers to everybody.
func moduleRules(from string) []rule {
	top, _, _ := strings.Cut(from, "/")
	if !strings.HasPrefix(top, "baetyl-") {
		return nil
	}
	return []rule{{top, []string{top, "sdk", "protocol", "utils"}}}
}

// isEngine tells whether path belongs to one implementation of the engine.
func isEngine(path string) bool {
	return below(path, "master/engine/native") || below(path, "master/engine/docker")
}

func engineRoot(path string) string { return strings.Join(strings.Split(path, "/")[:3], "/") }

// below tells whether path is root or lies under it; the root package "." contains only itself.
func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func local(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(out); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestTheRulesBite(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"utils/conf", "protocol/app", false},
		{"protocol/http", "utils/addr", true},
		{"protocol/http", "sdk/baetyl-go", false},
		{"master", "sdk/baetyl-go", false},
		{"master/api", "master/engine", true},
		{"master/service", "master/engine/native", false},
		{"master/engine/native", "master/engine", true},
		{"master/engine/native", "master", false},
		{"master/engine/docker", "master/engine/native", false},
		{"master/engine/enginetest", "master/engine/native", false},
		{"cmd", "master/engine/docker", true},
		{"sdk/baetyl-go", "master", false},
		{"baetyl-hub", "baetyl-hub/router", true},
		{"baetyl-hub", "baetyl-timer", false},
		{"baetyl-timer", "sdk/baetyl-go", true},
		{"baetyl-agent/ota", "master/ota", false},
		{"cmd", "baetyl-hub", false},
		{".", "cmd", true},
		{".", "master", false},
		{"newfolder", "utils/conf", false},
	} {
		if got := forbidden(c.from, c.to) == ""; got != c.allowed {
			t.Errorf("%s imports %s: allowed = %v, expected %v", c.from, c.to, got, c.allowed)
		}
	}
}

// What only tests need is in no program: the checker of the API's description brings a YAML parser and a router with it.
func TestNoProgramLinksWhatTestsNeed(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}} {{join .Deps " "}}{{end}}`, module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	programs := 0
	for line := range strings.Lines(string(out)) {
		deps := strings.Fields(line)
		if len(deps) == 0 {
			continue
		}
		programs++
		for _, d := range deps[1:] {
			if below(d, "github.com/getkin/kin-openapi") || below(d, module+"/internal/apitest") {
				t.Errorf("%s links %s, which is for tests alone", deps[0], d)
			}
		}
	}
	if programs < 5 {
		t.Fatalf("go list found only %d programs", programs)
	}
}
