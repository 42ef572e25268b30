package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRoutesAreWrittenOnce: the paths of the master's API stand in protocol/masterapi; whoever serves or calls them
// takes them from there.
func TestRoutesAreWrittenOnce(t *testing.T) {
	const root, home = "../..", "protocol/masterapi"
	files, routes := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "output" || name == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		local, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			switch {
			case err != nil || !isRoute(text):
			case filepath.ToSlash(local) == home:
				routes++
			default:
				t.Errorf("%s holds a path of the master's API: %s; take it from %s", path, literal.Value, home)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 || routes == 0 {
		t.Fatalf("found %d files and %d paths in %s", files, routes, home)
	}
}

// isRoute tells whether text is a path of the master's API, or its own part of one.
func isRoute(text string) bool {
	for _, part := range []string{"/system/" + "inspect", "/system/" + "update", "/ports/" + "available",
		"/instances" + "/"} {
		if strings.Contains(text, part) && !strings.ContainsAny(text, "\n") {
			return true
		}
	}
	return false
}
