//go:build linux

package keeper_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
)

// busy makes the thread that forks wait for a moment, and returns when it does: it tries a file that is being written
// again and again.
func busy(t *testing.T, c *keeper.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "busy")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	spec := shell(t, "busy", "")
	spec.Path = path
	giveUp(t, c, spec)
}

// giveUp asks for a start and does not wait for it.
func giveUp(t *testing.T, c *keeper.Client, s keeper.Spec) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Start(ctx, s); err == nil {
		t.Fatal("started")
	}
}

// A start that was given up while others were forked never runs. So does one whose master is gone by then.
func TestStartThatIsGivenUp(t *testing.T) {
	for name, give := range map[string]func(c *keeper.Client, next func() *keeper.Client) error{
		"signal":  func(c *keeper.Client, _ func() *keeper.Client) error { return c.Signal("a", syscall.SIGKILL) },
		"release": func(c *keeper.Client, _ func() *keeper.Client) error { return c.Release("a") },
		"both": func(c *keeper.Client, _ func() *keeper.Client) error {
			_ = c.Signal("a", syscall.SIGTERM)
			return c.Release("a")
		},
		"next master": func(_ *keeper.Client, next func() *keeper.Client) error {
			_, err := next().Hello(t.Context(), keeper.Hello{Protocol: keeper.Protocol})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, next := keepertest.Open(t)
			hello(t, c)
			busy(t, c)
			spec := shell(t, "a", "touch it-ran; exec sleep 100")
			giveUp(t, c, spec)
			if err := give(c, next); err != nil {
				t.Error(err)
			}
			c = next()
			last := shell(t, "last", "exec sleep 100") // is forked behind it
			start(t, c, last)
			eventually(t, "nothing is held of it", func() bool {
				all := hello(t, c).Processes
				return len(all) == 1 && all[0].Handle == "last" && c.Signal("a", 0) != nil
			})
			if _, err := os.Stat(filepath.Join(spec.Dir, "it-ran")); err == nil {
				t.Error("it was started")
			}
		})
	}
}

// A start that has been forked and is given up is killed when its program runs.
func TestStartThatIsGivenUpInTheShim(t *testing.T) {
	c := keepertest.Start(t)
	hello(t, c)
	spec := shell(t, "a", `touch forked; while [ ! -e go ]; do sleep 0.01; done
echo ok >&4; exec 4>&-; exec sleep 100`)
	spec.Launch = []byte{}
	giveUp(t, c, spec)
	eventually(t, "it is forked", func() bool { _, err := os.Stat(filepath.Join(spec.Dir, "forked")); return err == nil })
	if err := c.Release("a"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its handle is free", func() bool {
		_, err := c.Start(t.Context(), shell(t, "a", "exec sleep 100"))
		return err == nil
	})
}
