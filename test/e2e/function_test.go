//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// make function writes a function in each language whose own test passes, and which runs in an edge after what its
// README says.
func TestNewFunction(t *testing.T) {
	if mode == masterapi.ModeDocker {
		t.Skip("the files are the same; in Go an image would be needed too")
	}
	s := newSystem(t).withoutTimer()
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0",
			"BAETYL="+s.path("bin/baetyl"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	languages := map[string][]string{
		"python": {"python3", "-B", "-m", "unittest"}, "node": {"node", "test.js"}, "sql": {"sh", "test.sh"},
		"go": {"go", "test"},
	}
	for language, test := range languages {
		name := "celsius-" + language
		dir := s.path("var/db/baetyl/" + name)
		run(root, "make", "-s", "function", "NEW="+dir, "IN="+language)
		run(dir, test...)
		if language == "go" {
			run(dir, "go", "build", "-o", "bin/"+name, ".")
		}
		lines, err := os.ReadFile(filepath.Join(dir, "edge.yml"))
		must(t, err)
		for section, file := range map[string]string{
			"services": appFile, "volumes": appFile, "rules": managerFile, "functions": managerFile,
		} {
			_, block, ok := strings.Cut(string(lines), "\n"+section+":\n")
			if !ok {
				t.Fatalf("edge.yml of %s has no %s", language, section)
			}
			block, _, _ = strings.Cut(block, "#")
			s.replace(file, section+":\n", section+":\n"+block)
		}
	}
	if out, code := s.check(); code != 0 {
		t.Fatalf("check: %s", out)
	}
	s.start()
	sub := s.subscribe("#")
	for language := range languages {
		s.publish("celsius-"+language+"/in", `{"device":"boiler","fahrenheit":86}`)
		sub.wait("celsius-"+language+"/out", `boiler`, `30`)
	}
}

// make function refuses what it cannot write, and says what to do.
func TestNewFunctionRefused(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]string{
		"":                              "NEW is missing; write make function NEW=path/to/name IN=python, node, sql or go",
		"NEW=" + dir + "/f":             "IN is missing; write ",
		"NEW=" + dir + "/f IN=java":     "IN=java is no language; write ",
		"NEW=" + dir + "/Größe IN=node": "'Größe' is no name for a function; use small letters, digits and -",
		"NEW=" + dir + "/.. IN=node":    "'..' is no name for a function; ",
		"NEW=" + dir + "/" + strings.Repeat("x", 41) + " IN=go": "the name is longer than 40 characters; choose ",
	} {
		cmd := exec.Command("make", append([]string{"-s", "-C", root, "function"}, strings.Fields(args)...)...)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	must(t, os.Mkdir(filepath.Join(dir, "there"), 0o755))
	cmd := exec.Command(filepath.Join(root, "scripts/function.sh"), filepath.Join(dir, "there"), "node")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is there already; choose another folder, or remove it") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The recipe of docs/function-runtimes.md leads from an error message to the traceback and to the event.
func TestFromErrorToTraceback(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/function-runtimes.md"))
	must(t, err)
	_, recipe, ok := strings.Cut(string(page), "### From an error message to its traceback\n")
	if !ok {
		t.Fatal("docs/function-runtimes.md has no recipe")
	}
	line := func(begin string) string {
		i := strings.Index(recipe, begin)
		if i < 0 {
			t.Fatalf("the recipe has no %q", begin)
		}
		text, _, _ := strings.Cut(recipe[i:], "\n")
		text, _, _ = strings.Cut(text, "`") // the command alone
		return text
	}
	s := newSystem(t).withoutTimer().start()
	sub := s.subscribe("#")
	for runtime, file := range map[string]string{"python36": "index.py", "node85": "index.js"} {
		topic := map[string]string{"python36": "t/py3hi", "node85": "t/node8hi"}[runtime]
		s.publish("t", `{"err":"no `+runtime+`"}`)
		s.write("error.json", sub.wait(topic, "errorMessage", "no "+runtime).Payload)
		grep := line("grep -h -A 20")
		if mode == masterapi.ModeDocker {
			grep = strings.NewReplacer("<service>", "function-"+runtime+"-sayhi", "<function>", runtime+"-sayhi").
				Replace(line("docker logs"))
		}
		shell := func(script string) string {
			cmd := exec.Command("sh", "-ec", script)
			cmd.Dir = s.dir
			out, err := cmd.CombinedOutput()
			return fmt.Sprintf("%s: %v\n%s", script, err, out)
		}
		s.eventually("the log has the traceback", func() error { // the master writes it while the answer is published
			if out := shell(line("id=") + "\n" + grep); !strings.Contains(out, file) {
				return errors.New(out)
			}
			return nil
		})
		shell(line("sed 's/.*\"Payload"))
		if event := s.read("event.json"); event != `{"err":"no `+runtime+`"}` {
			t.Errorf("the event is %s", event)
		}
	}
}
