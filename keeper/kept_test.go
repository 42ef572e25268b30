//go:build linux

package keeper_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/keeper/keepertest"
)

// A process inherits the kept descriptors that its Spec names, in that order, and no other ones.
func TestKeptIsInherited(t *testing.T) {
	c, next := keepertest.Open(t)
	hello(t, c)
	dir := t.TempDir()
	for _, name := range []string{"one", "two", "three"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Keep(name, f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	s := shell(t, "a", "readlink /proc/self/fd/3 /proc/self/fd/4; ls /proc/self/fd/5 2>&1; exit 0")
	s.Kept = []string{"three", "one"}
	start(t, c, s)
	ended(t, c, "a")
	lines, err := c.Tail("a")
	if err != nil || len(lines) != 3 || lines[0] != filepath.Join(dir, "three") || lines[1] != filepath.Join(dir, "one") ||
		!strings.Contains(lines[2], "No such file") {
		t.Errorf("%q, %v", lines, err)
	}
	s = shell(t, "b", "exit 0")
	s.Kept = []string{"one", "four"}
	const want = "pass four to the program: it is not kept"
	if _, err := c.Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("start: %v", err)
	}
	if kept := hello(t, next()).Kept; len(kept) != 3 || kept["one"] == nil {
		t.Errorf("%v", kept)
	}
}
