//go:build linux

package keeper_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/keeper/keepertest"
)

// Masters that are gone before they have read an answer leave no descriptors in the keeper.
func TestDescriptorsOfMastersThatDie(t *testing.T) {
	c, next := keepertest.Open(t)
	hello(t, c)
	for _, name := range []string{"one", "two", "three"} {
		if err := c.Keep(name, os.Stdin); err != nil {
			t.Fatal(err)
		}
	}
	open := func() int {
		fds, _ := filepath.Glob("/proc/self/fd/*")
		return len(fds)
	}
	before := open()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		c := next()
		s, _ := c.Hello(gone, keeper.Hello{Protocol: keeper.Protocol})
		for _, f := range s.Kept {
			_ = f.Close()
		}
		_ = c.Close()
	}
	eventually(t, "as few descriptors are open as before", func() bool { return open() <= before+4 })
}
