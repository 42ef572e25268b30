//go:build unix

// Package keepertest runs the holding part of the keeper in a test's own process.
package keepertest

import (
	"testing"

	"github.com/baetyl/baetyl/keeper"
)

// Start returns the client of a keeper that ends with the test, and kills what it holds then. It has no master to
// supervise: Alive, Leave and Stopped do nothing.
func Start(t testing.TB) *keeper.Client {
	t.Helper()
	c, _ := Open(t)
	return c
}

// Open is as Start, and returns beside the client a function that returns another one, as of a next master: the
// connection of the one before ends then.
func Open(t testing.TB) (*keeper.Client, func() *keeper.Client) {
	t.Helper()
	t.TempDir() // its removal comes after the end of the keeper then, which writes logs to folders of the test
	h := keeper.NewHolder(func(level, format string, args ...any) {
		t.Helper()
		t.Logf("keeper: "+level+": "+format, args...)
	})
	t.Cleanup(h.Close)
	next := func() *keeper.Client {
		t.Helper()
		conn, err := h.Connect()
		if err != nil {
			t.Fatalf("connect to keeper: %v", err)
		}
		c := keeper.NewClient(conn)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return next(), next
}
