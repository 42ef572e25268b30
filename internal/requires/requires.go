// Package requires lets a test name a program that it needs. On a developer's machine a missing program skips the test
// with a line that says so; in CI (CI=true) it fails the test, so that none is skipped without notice.
package requires

import (
	"os"
	"os/exec"
	"testing"
)

// Command returns the path of the program name, or ends the test. hint says how to get it, for example "apt-get
// install x".
func Command(t testing.TB, name, hint string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, hint)
	}
	return path
}

// Missing ends the test because part is not there.
func Missing(t testing.TB, part, hint string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI needs it: %s", part, hint)
	}
	t.Skipf("%s is missing: %s", part, hint)
}
