//go:build unix

package node_test

import (
	"testing"

	"github.com/baetyl/baetyl/internal/functiontest"
)

// TestPayloads: what a payload means, the same as in the other languages.
func TestPayloads(t *testing.T) {
	each(t, func(t *testing.T, target functiontest.Target) {
		functiontest.RunPayloads(t, "node", functiontest.Options{Entry: target.Entry, Env: target.Env, Pipe: true})
	})
}
