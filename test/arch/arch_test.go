// Package arch_test holds the code to ARCHITECTURE.md: which package may import which. Arrows point down only.
//
//	main ─► cmd ─► master ─► master/service ─► master/engine ◄─ master/engine/{docker,native} ◄─ cmd
//	modules (baetyl-*) ─► sdk ─► protocol ─► utils
//
// links_test.go lists the Go modules that each program links, routes_test.go keeps the paths of the master's API in one
// package, words_test.go refuses retired words and long lines, docs_test.go checks that documents name what exists.
package arch_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/baetyl/baetyl"

// rule says what the packages at and below from may import of this repository: the packages at and below the entries of
// to. "." is the root package alone.
type rule struct {
	from string
	to   []string
}

// rules are read from top to bottom; the first whose from matches decides.
var rules = []rule{
	{"utils", []string{"utils"}},
	{"protocol", []string{"protocol", "utils"}},
	{"internal/functiontest", []string{"internal", "sdk", "protocol", "utils"}}, // calls runtimes, as the manager does
	{"internal", []string{"internal", "protocol", "utils"}},                     // what tests share
	{"sdk", []string{"sdk", "protocol", "utils"}},
	{"keeper", []string{"keeper", "utils/logfile"}},
	{"master/engine/enginetest", []string{"master/engine", "master/health", "master/probe", "protocol", "utils"}},
	{"master/engine", []string{"keeper", "master/engine", "protocol", "utils"}},
	{"master", []string{"keeper", "master", "protocol", "utils"}},
	{"cmd", []string{"cmd", "keeper", "master", "protocol", "utils"}},
	{"scripts", []string{"scripts", "utils"}},
	{"example", []string{"baetyl-hub", "sdk", "protocol", "utils"}}, // example/cloud has a hub inside, a function the SDK
	{"test", []string{"test", "internal", "sdk", "protocol", "utils"}},
	// The program of an installation is every module too.
	{".", []string{"cmd", shimEarly, keeperEarly, "sdk/baetyl-go", "baetyl-agent/agent", "baetyl-function-manager/manager",
		"baetyl-function-sql/sql", "baetyl-hub/hub", "baetyl-remote-mqtt/remote", "baetyl-timer/timer"}},
}

// These make the program a shim or a keeper before anything else of it is initialised, so main imports them and not
// what they are for.
const (
	shimEarly   = "master/engine/native/launch/early"
	keeperEarly = "keeper/early"
)

// heavy are packages that link much: only the packages at and below the entries of from may import them.
var heavy = []struct {
	to, why string
	from    []string
}{
	{"sdk/baetyl-go/function", "it links gRPC", []string{"baetyl-function-manager", "baetyl-function-sql",
		"example/function", "internal/functiontest", "sdk/baetyl-go/function", "test"}},
	{"protocol/function", "it links gRPC", []string{"baetyl-function-manager", "baetyl-function-sql",
		"baetyl-function-python", "baetyl-function-node85", // their tests
		"internal/functiontest", "protocol/function", "sdk/baetyl-go/function", "test"}},
	{"utils/host/measure", "it links gopsutil; the values are in utils/host", []string{"master", "utils/host/measure"}},
	{"utils/metrics", "it links the Prometheus client", []string{"baetyl-agent/agent", "baetyl-hub/hub",
		"baetyl-function-manager/manager", "baetyl-remote-mqtt/remote", "master/metrics", "utils/metrics"}},
}

type pkg struct {
	Name       string
	Dir        string
	ImportPath string
	Imports    []string
	GoFiles    []string
	Tests      []string `json:"TestGoFiles"`
	OtherTests []string `json:"XTestGoFiles"`
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

// The code of a module is in packages, so that a test or another program can import it: main.go only starts it.
func TestMainOnlyStartsTheModule(t *testing.T) {
	for _, p := range list(t) {
		from := local(p.ImportPath)
		if p.Name != "main" || !strings.HasPrefix(from, "baetyl-") || strings.Contains(from, "/testdata/") {
			continue
		}
		if files := slices.Concat(p.GoFiles, p.Tests, p.OtherTests); !slices.Equal(files, []string{"main.go"}) {
			t.Errorf("%s: package main has %s: it may have main.go only", from, strings.Join(files, ", "))
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if why := wrongMain(t, from, string(text)); why != "" {
			t.Errorf("%s/main.go: %s", from, why)
		}
	}
}

// wrongMain returns what is wrong with the text of the main.go of a module, or "". It has func main alone, with the
// line baetyl.Run(x.Main), where x is the package of the module that main.go imports. A line that runs a command,
// if … { os.Exit(x.Command(…)) }, may come before it.
func wrongMain(t *testing.T, from, text string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	root, sdk := "", ""
	for _, i := range file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		switch to := local(p); {
		case path.Dir(to) == from && root == "":
			root = name
		case to == "sdk/baetyl-go":
			sdk = name
		case strings.Contains(p, "."): // the standard library has no dot
			return "it imports " + p + ": it may import one package of the module, and the SDK"
		}
	}
	var body []ast.Stmt
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok != token.IMPORT {
				return "it declares more than func main"
			}
		case *ast.FuncDecl:
			if d.Name.Name != "main" {
				return "it declares " + d.Name.Name + ": it may declare func main alone"
			}
			body = d.Body.List
		}
	}
	if len(body) == 2 {
		command, ok := body[0].(*ast.IfStmt)
		if ok && command.Init == nil && command.Else == nil && len(command.Body.List) == 1 &&
			strings.HasPrefix(source(command.Body.List[0]), "os.Exit("+root+".Command(") {
			body = body[1:]
		}
	}
	if want := sdk + ".Run(" + root + ".Main)"; root == "" || sdk == "" || len(body) != 1 || source(body[0]) != want {
		return "main is not baetyl.Run(x.Main), where x is the package of the module"
	}
	return ""
}

// source is a node as gofmt writes it.
func source(n ast.Node) string {
	var text strings.Builder
	if err := format.Node(&text, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	return text.String()
}

func TestTheRuleOfMainBites(t *testing.T) {
	const head = "package main\nimport baetyl \"" + module + "/sdk/baetyl-go\"\n" +
		"import \"" + module + "/baetyl-x/x\"\nimport \"os\"\n"
	for text, allowed := range map[string]bool{
		head + "func main() { baetyl.Run(x.Main) }":                                                      true,
		head + "func main() { if len(os.Args) > 1 { os.Exit(x.Command(os.Args)) }; baetyl.Run(x.Main) }": true,
		head + "func main() { x.Main() }":                                                                false,
		head + "func main() { baetyl.Run(x.Other) }":                                                     false,
		head + "func main() { baetyl.Run(func(baetyl.Context) error { return nil }) }":                   false,
		head + "func main() { os.Setenv(`a`, `b`); baetyl.Run(x.Main) }":                                 false,
		head + "func main() { if true { os.Exit(1) }; baetyl.Run(x.Main) }":                              false,
		head + "func main() { baetyl.Run(x.Main) }; func more() {}":                                      false,
		head + "var v = 1; func main() { baetyl.Run(x.Main) }":                                           false,
		head + "import \"" + module + "/utils/log\"; func main() { baetyl.Run(x.Main) }":                 false,
		head + "import \"" + module + "/baetyl-x/y\"; func main() { baetyl.Run(x.Main) }":                false,
		"package main\nimport \"" + module + "/baetyl-x/x\"\nfunc main() { x.Main() }":                   false,
	} {
		if got := wrongMain(t, "baetyl-x", text); (got == "") != allowed {
			t.Errorf("%s: %q, expected allowed = %v", text, got, allowed)
		}
	}
}

// forbidden returns why from must not import to, or "".
func forbidden(from, to string) string {
	if isEngine(to) && !isEngine(from) && !below(from, "cmd") && (from != "." || to != shimEarly) {
		return "only cmd chooses an engine"
	}
	if isEngine(from) && isEngine(to) && !below(to, engineRoot(from)) {
		return "engines do not import each other"
	}
	for _, h := range heavy {
		if below(to, h.to) && !slices.ContainsFunc(h.from, func(root string) bool { return below(from, root) }) {
			return h.why
		}
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

// moduleRules are those of a module (baetyl-*): its own packages, the SDK and what the SDK is made of.
func moduleRules(from string) []rule {
	top, _, _ := strings.Cut(from, "/")
	if !strings.HasPrefix(top, "baetyl-") {
		return nil
	}
	return []rule{{top, []string{top, "sdk", "protocol", "utils"}}}
}

// isEngine tells whether p belongs to one implementation of the engine.
func isEngine(p string) bool {
	return below(p, "master/engine/native") || below(p, "master/engine/docker")
}

func engineRoot(p string) string { return strings.Join(strings.Split(p, "/")[:3], "/") }

// below tells whether p is root or lies under it; the root package "." contains only itself.
func below(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func local(p string) string {
	if p == module {
		return "."
	}
	return strings.TrimPrefix(p, module+"/")
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=Name,Dir,ImportPath,Imports,GoFiles,TestGoFiles,XTestGoFiles", module+"/...")
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
		{"master/engine/enginetest", "master/probe", true},
		{"master/engine/native", "master/probe", false},
		{"cmd", "master/engine/docker", true},
		{"sdk/baetyl-go", "master", false},
		{"baetyl-hub", "baetyl-hub/core", true},
		{"baetyl-hub", "baetyl-timer", false},
		{"baetyl-timer", "sdk/baetyl-go", true},
		{"baetyl-timer/timer", "sdk/baetyl-go/function", false},
		{"baetyl-hub/hub", "utils/metrics", true},
		{"baetyl-hub/hub", "protocol/function", false},
		{"baetyl-function-sql/sql", "sdk/baetyl-go/function", true},
		{"protocol/masterapi", "utils/host", true},
		{"protocol/masterapi", "utils/host/measure", false},
		{"master/engine/native", "utils/host/measure", true},
		{"baetyl-agent/ota", "master/ota", false},
		{"cmd", "baetyl-hub", false},
		{".", "cmd", true},
		{".", "master", false},
		{".", shimEarly, true},
		{".", keeperEarly, true},
		{".", "keeper", false},
		{".", "master/engine/native/launch", false},
		{"master", shimEarly, false},
		{"newfolder", "utils/conf", false},
	} {
		if got := forbidden(c.from, c.to) == ""; got != c.allowed {
			t.Errorf("%s imports %s: allowed = %v, expected %v", c.from, c.to, got, c.allowed)
		}
	}
}

// What only tests need is in no program: the checker of the API's description brings a YAML parser and a router with
// it.
func TestNoProgramLinksWhatTestsNeed(t *testing.T) {
	const programAndDeps = `{{if eq .Name "main"}}{{.ImportPath}} {{join .Deps " "}}{{end}}`
	out, err := exec.Command("go", "list", "-f", programAndDeps, module+"/...").Output()
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
