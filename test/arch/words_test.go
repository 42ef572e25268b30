package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// retired are words that once named things here, each with the word that says it today (ARCHITECTURE.md, glossary).
var retired = map[string]string{
	"park": "dead letter", "parked": "dead letter", "parking": "dead letter",
	"lane": "keyed queue or direction", "lanes": "keyed queue or direction",
	"witness": "probe", "verdict": "outcome", "door": "mux", "doors": "mux", "flock": "burst", "loose": "qos0",
	"waker": "batch", "trial": "candidate", "patience": "…Timeout, …Interval or …Limit", "parting": "…Timeout",
	"silence": "…Timeout", "look": "…Interval", "underway": "…Limit", "row": "failures", "turn": "queue or lock",
}

// kept are places where such a word is the field's term.
var kept = map[string][]string{
	"row":    {"test/bench", "utils/sql", "test/arch", "master/ui", "test/e2e"}, // of a table
	"trial":  {"protocol/masterapi", "keeper"},                                  // BAETYL_MASTER_TRIAL, which two versions of the master exchange
	"parked": {"baetyl-remote-mqtt"},                                            // var/db/baetyl/parked and the counters, which were shipped
	"park":   {"baetyl-remote-mqtt"},                                            // the key `park`, which was shipped
}

// single are words with one meaning each: the only place whose identifiers may have them.
var single = map[string][]string{
	"outbox":  {"protocol/mqtt"},                             // what a client has sent and the broker has not acknowledged
	"journal": {"baetyl-hub/store"},                          // the file that the hub's store writes one after the other
	"ledger":  {"master/ota", "master"},                      // the log of updates, in memory
	"slot":    {"baetyl-function-manager", "master/service"}, // the place of an instance
}

// TestWords refuses retired words in identifiers that this repository declares.
func TestWords(t *testing.T) {
	sources(t, func(path, text string) {
		for _, name := range declared(t, path, text) {
			for _, word := range words(name) {
				if better, ok := retired[word]; ok && !placed(path, kept[word]) {
					t.Errorf("%s: %s: the word %q is retired, say %s", path, name, word, better)
				}
				if places, ok := single[word]; ok && !placed(path, places) {
					t.Errorf("%s: %s: the word %q means something in %s alone", path, name, word, strings.Join(places, ", "))
				}
			}
		}
	})
}

// oneCase is a case of a table in a test, which is read best on one line.
var oneCase = regexp.MustCompile("^\\s*[`\"{]")

// TestLines holds lines to 120 characters, in what people write by hand, but for cases of tables and their data.
func TestLines(t *testing.T) {
	sources(t, func(path, text string) {
		for i, line := range strings.Split(text, "\n") {
			isCase := oneCase.MatchString(line) && (strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/"))
			if n := len([]rune(line)); n > 120 && !isCase {
				t.Errorf("%s:%d: %d characters, at most 120", path, i+1, n)
			}
		}
	})
}

// sources calls f with each source file that was written by hand.
func sources(t *testing.T, f func(path, text string)) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if slices.Contains([]string{".git", "output", ".build", "node_modules", "venv", "testdata"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		case !slices.Contains([]string{".go", ".py", ".js", ".sh"}, filepath.Ext(path)) || strings.Contains(path, "_pb"),
			strings.HasSuffix(path, ".pb.go"), path == "test/arch/words_test.go", !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(root, path)
		if err == nil {
			f(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// names finds what Python, JavaScript and shell scripts declare.
var names = regexp.MustCompile(
	`(?m)(?:\b(?:def|class|const|let|var|function)\s+|^\s*|self\.|this\.)([A-Za-z_][A-Za-z0-9_]*)\s*(?:=[^=]|\(\) *\{|\(|:|\b)`)

// declared returns the identifiers that a file declares, and the names of its folder and itself.
func declared(t *testing.T, path, text string) []string {
	t.Helper()
	all := []string{strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), filepath.Base(filepath.Dir(path))}
	if filepath.Ext(path) != ".go" {
		for _, m := range names.FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		return all
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(list ...*ast.Ident) {
		for _, i := range list {
			if i != nil {
				all = append(all, i.Name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			add(n.Names...)
		case *ast.LabeledStmt:
			add(n.Label)
		case *ast.ImportSpec:
			add(n.Name)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if i, ok := e.(*ast.Ident); ok {
						add(i)
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if i, ok := e.(*ast.Ident); ok {
					add(i)
				}
			}
		}
		return true
	})
	return all
}

// words are those of an identifier, in lower case: deadLetterTopic, DEAD_LETTER, TestQOS2 and dead-letter.
func words(name string) []string {
	var all []string
	between := func(r rune) bool { return strings.ContainsRune("_-.", r) || unicode.IsDigit(r) }
	for _, part := range strings.FieldsFunc(name, between) {
		runes := []rune(part)
		begin := 0
		for i := 1; i < len(runes); i++ {
			upper, before := unicode.IsUpper(runes[i]), unicode.IsUpper(runes[i-1])
			if upper && (!before || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
				all = append(all, strings.ToLower(string(runes[begin:i])))
				begin = i
			}
		}
		all = append(all, strings.ToLower(string(runes[begin:])))
	}
	return all
}

// placed tells whether path lies in one of the folders.
func placed(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(path, f+"/") })
}

func TestWordsOfAnIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"deadLetterTopic": "dead letter topic", "TestQOS2Retry": "test qos retry", "HTTPServer": "http server",
		"BAETYL_MASTER_TRIAL": "baetyl master trial", "x": "x", "dead-letter": "dead letter",
	} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
}
