package sim_test

import (
	"os"
	"strconv"
	"testing"
)

// TestWorld is one run: SIM_SEED says which. TestSeeds starts a process for each seed, since only then the runtime's
// chance begins anew.
func TestWorld(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("SIM_SEED"), 10, 64)
	if err != nil {
		t.Skip("TestSeeds runs it")
	}
	run(t, seed, 400)
}
