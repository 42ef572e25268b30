//go:build linux

package keeper_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/baetyl/baetyl/keeper/keepertest"
)

// A start that waits for others runs the program that was meant, also when the process that was to show it is gone, and
// another one may have its number.
func TestProgramOfAProcessThatEnds(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c)
	path := filepath.Join(t.TempDir(), "busy")
	busy, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	accepted := func(handle string) bool { return errors.Is(c.Signal(handle, 0), syscall.ESRCH) }
	results := make(chan error, 3)
	for n := range cap(results) { // "text file busy": each is tried for a while
		spec := shell(t, fmt.Sprint("busy-", n), "")
		spec.Path = path
		go func() { _, err := c.Start(t.Context(), spec); results <- err }()
		eventually(t, "the keeper has it", func() bool { return accepted(spec.Handle) })
	}
	shown := exec.Command("sleep", "100")
	if err := shown.Start(); err != nil {
		t.Fatal(err)
	}
	spec := shell(t, "a", "")
	spec.Path, spec.Args = fmt.Sprintf("/proc/%d/exe", shown.Process.Pid), []string{"sleep", "0"}
	result := make(chan error, 1)
	go func() { _, err := c.Start(t.Context(), spec); result <- err }()
	eventually(t, "the keeper has it", func() bool { return accepted("a") })
	_ = shown.Process.Kill()
	_ = shown.Wait()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if end := ended(t, c, "a"); end.Code != 0 {
		t.Errorf("%+v", end)
	}
	for range cap(results) {
		if err := <-results; !errors.Is(err, syscall.ETXTBSY) {
			t.Error(err)
		}
	}
}
