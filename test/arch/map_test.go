package arch_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// mapFile is the map of the code for its readers.
const mapFile = "../../ARCHITECTURE.md"

// TestEveryPackageIsOnTheMap: ARCHITECTURE.md names each package of this repository.
func TestEveryPackageIsOnTheMap(t *testing.T) {
	text := read(t, mapFile)
	for _, p := range list(t) {
		if name := local(p.ImportPath); !strings.Contains(text, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name package `%s`: add it to the table \"Every package\"", name)
		}
	}
}

// goFile is a path of a Go file, as text names it.
var goFile = regexp.MustCompile("`([A-Za-z0-9_./-]+\\.go)`")

// TestTheMapNamesFilesThatExist: a Go file stands there with its path, or, after another file, with the end of its
// path.
func TestTheMapNamesFilesThatExist(t *testing.T) {
	files := 0
	for line := range strings.Lines(read(t, mapFile)) {
		folder := "."
		for _, m := range goFile.FindAllStringSubmatch(line, -1) {
			found := ""
			for dir := folder; found == ""; dir = path.Dir(dir) {
				if exists(path.Join(dir, m[1])) {
					found = path.Join(dir, m[1])
				} else if dir == "." {
					break
				}
			}
			if found == "" {
				t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[1])
				continue
			}
			folder = path.Dir(found)
			files++
		}
	}
	if files < 20 {
		t.Errorf("found only %d files in ARCHITECTURE.md", files)
	}
}

// exists tells whether a file or folder of this repository exists.
func exists(name string) bool {
	_, err := os.Stat(path.Join("../..", name))
	return err == nil
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
