//go:build linux

package keeper_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/keeper"
)

var update = flag.Bool("update", false, "write part.go")

// TestPart keeps the digest of the keeper's own code up to date: a keeper replaces itself only when that has changed.
// `go generate ./keeper` writes it.
func TestPart(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"*.go", "early/*.go", "members/*.go", "signals/*.go", "../utils/logfile/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		sources = append(sources, found...)
	}
	slices.Sort(sources)
	digest := sha256.New()
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") || path == "part.go" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(digest, "%s %d\n", path, len(text))
		digest.Write(text)
	}
	part := hex.EncodeToString(digest.Sum(nil)[:8])
	if *update {
		text := fmt.Sprintf(partFile, part)
		if err := os.WriteFile("part.go", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if part != keeper.Part {
		t.Errorf("part.go says %s, the code is %s: run go generate ./keeper", keeper.Part, part)
	}
}

const partFile = `package keeper

//go:generate go test -count=1 -run ^TestPart$ . -update

// Part is the digest of the keeper's own code: this package, early, members, signals and utils/logfile.
const Part = "%s"
`
