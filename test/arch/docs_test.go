package arch_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// What the documents name exists: the target of a link, a test, a target of make.
//
// A document is every file *.md of the repository.

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	span    = regexp.MustCompile("`[^`\n]+`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

	testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]*`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)\(`)

	// make, options and variables before the target, the target
	makeCall   = regexp.MustCompile(`(?m)(?:^|\x60)\s*make((?: -C \S+| [A-Z_0-9]+=\S*)*) ([a-z][a-z0-9-]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// TestLinks: a relative link points to a file or folder that exists, and its fragment to a heading there.
func TestLinks(t *testing.T) {
	links := 0
	for file, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(withoutCode(text), -1) {
			if strings.Contains(m[1], ":") { // https://…, mailto:…
				continue
			}
			links++
			target, fragment, _ := strings.Cut(m[1], "#")
			name := file
			if target != "" {
				name = path.Join(path.Dir(file), target)
			}
			switch {
			case !exists(name):
				t.Errorf("%s: link to %s, which does not exist", file, m[1])
			case fragment != "" && strings.HasSuffix(name, ".md") && !slices.Contains(anchors(t, name), fragment):
				t.Errorf("%s: link to %s, which has no heading #%s", file, name, fragment)
			}
		}
	}
	if links < 50 {
		t.Errorf("found only %d links", links)
	}
}

// TestNamedTestsExist: a test that a document names is a test function, or the beginning of the names of some. Where
// the line names a folder before it, it is a test there or below.
func TestNamedTestsExist(t *testing.T) {
	tests := map[string][]string{} // by folder
	walk(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range testFunc.FindAllStringSubmatch(read(t, "../../"+name), -1) {
				tests[path.Dir(name)] = append(tests[path.Dir(name)], m[1])
			}
		}
	})
	found := func(root, name string) bool {
		for folder, all := range tests {
			if (root == "." || below(folder, root)) &&
				slices.ContainsFunc(all, func(one string) bool { return strings.HasPrefix(one, name) }) {
				return true
			}
		}
		return false
	}
	either := regexp.MustCompile(span.String() + "|" + testName.String())
	names := 0
	for file, text := range documents(t) {
		for line := range strings.Lines(text) {
			folder := "."
			for _, word := range either.FindAllString(line, -1) {
				quoted := strings.Trim(word, "`")
				if quoted != word && !path.IsAbs(quoted) && exists(quoted) {
					folder = quoted
				}
				for _, name := range testName.FindAllString(quoted, -1) {
					names++
					if !found(folder, name) {
						t.Errorf("%s: test %s does not exist in or below %s", file, name, folder)
					}
				}
			}
		}
	}
	if names < 50 {
		t.Errorf("found only %d names of tests", names)
	}
}

// TestNamedTargetsExist: the Makefile has every target that a document tells to make.
func TestNamedTargetsExist(t *testing.T) {
	var targets []string
	for _, m := range makeTarget.FindAllStringSubmatch(read(t, "../../Makefile"), -1) {
		targets = append(targets, m[1])
	}
	calls := 0
	for file, text := range documents(t) {
		code := append(fenced.FindAllString(text, -1), span.FindAllString(withoutFenced(text), -1)...)
		for _, m := range makeCall.FindAllStringSubmatch(strings.Join(code, "\n"), -1) {
			calls++
			if !slices.Contains(targets, m[2]) {
				t.Errorf("%s: the Makefile has no target %s", file, m[2])
			}
		}
	}
	if calls < 30 {
		t.Errorf("found only %d calls of make", calls)
	}
}

// documents returns the text of each document by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	walk(t, func(name string) {
		if strings.HasSuffix(name, ".md") {
			all[name] = read(t, "../../"+name)
		}
	})
	if len(all) < 20 {
		t.Fatalf("found only %d documents", len(all))
	}
	return all
}

// walk calls f with each file of the repository but those that git ignores.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	ignored := []string{".git", "output", ".build", "node_modules", "venv", "__pycache__", "testdata"}
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(ignored, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular():
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func withoutFenced(text string) string { return fenced.ReplaceAllString(text, "") }

// withoutCode leaves out blocks and spans of code, but for the text of links.
func withoutCode(text string) string { return span.ReplaceAllString(withoutFenced(text), "code") }

// anchors returns the fragments under which the headings of a document are found, as GitHub makes them.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for _, m := range heading.FindAllStringSubmatch(withoutFenced(read(t, "../../"+file)), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, m[1]))
	}
	return all
}
