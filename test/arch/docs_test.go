package arch_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// documents calls f with each Markdown file.
func documents(t *testing.T, f func(name, text string)) {
	t.Helper()
	root := os.DirFS("../..")
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(root, name)
			if err != nil {
				t.Fatal(err)
			}
			f(name, string(text))
		}
	}
}

var (
	link       = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	testName   = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*\b`)
	makeTarget = regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z0-9-]*)")
)

// TestLinksOfDocuments finds a link to a file that does not exist.
func TestLinksOfDocuments(t *testing.T) {
	documents(t, func(name, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(path.Join("../..", path.Dir(name), m[1])); err != nil {
				t.Errorf("%s: links to %s, which does not exist", name, m[1])
			}
		}
	})
}

// TestTestsOfDocuments finds a test that a document names and that does not exist.
func TestTestsOfDocuments(t *testing.T) {
	known := map[string]bool{}
	sources(t, func(path, text string) {
		if strings.HasSuffix(path, ".go") {
			for _, name := range declared(t, path, text) {
				known[name] = true
			}
		}
	})
	documents(t, func(file, text string) {
		for _, name := range testName.FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("%s: there is no test %s", file, name)
			}
		}
	})
}

// TestMakeTargetsOfDocuments finds a command that the Makefile does not have.
func TestMakeTargetsOfDocuments(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	documents(t, func(file, text string) {
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: there is no `make %s`", file, m[1])
			}
		}
	})
}

// TestMapIsComplete finds a package that ARCHITECTURE.md does not name.
func TestMapIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list(t) {
		if name := local(p.ImportPath); !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name the package %s", name)
		}
	}
}

// TestMapIsTrue finds a file of ARCHITECTURE.md that does not exist.
func TestMapIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z][a-z0-9./_-]*/[a-z0-9./_-]+)`").FindAllStringSubmatch(string(text), -1)
	for _, m := range named {
		if _, err := os.Stat("../../" + m[1]); err != nil && !strings.HasPrefix(m[1], "var/") {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[1])
		}
	}
}

// TestSecurityNamesEveryModule compares the modules in the tables of docs/security.md, native and docker, with those of
// the Makefile: what has gone must not stay, and what is new has to be looked at (make security).
func TestSecurityNamesEveryModule(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	lists := regexp.MustCompile(`(?m)^(?:MODULES|RUNTIMES) *:= (.*)$`)
	for _, m := range lists.FindAllStringSubmatch(string(makefile), -1) {
		for _, name := range strings.Fields(m[1]) {
			want[name] = true
		}
	}
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| [a-z0-9-]+ \\(`([a-z0-9-]+)`\\)")
	for _, mode := range []string{"native", "docker"} {
		_, rest, _ := strings.Cut(string(text), "<!-- make security: "+mode+" -->")
		table, _, _ := strings.Cut(rest, "<!-- end -->")
		found := map[string]bool{}
		for _, m := range row.FindAllStringSubmatch(table, -1) {
			found[m[1]] = true
			if !want[m[1]] {
				t.Errorf("docs/security.md, %s mode: names %s, which is no module", mode, m[1])
			}
		}
		for name := range want {
			if !found[name] {
				t.Errorf("docs/security.md, %s mode: does not name %s; make security writes it", mode, name)
			}
		}
	}
}
