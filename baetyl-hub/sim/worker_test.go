package sim_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// TestWorld is one run: SIM_SEED says which. TestSeeds starts a process for each seed, since only then the runtime's
// chance begins anew.
func TestWorld(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("SIM_SEED"), 10, 64)
	if err != nil {
		t.Skip("TestSeeds runs it")
	}
	threads()
	run(t, seed, 400)
}

// threads lets the runtime make the threads that it may need: it decides by the machine's speed when, and takes memory
// for them, so that later addresses, which are keys of maps, would differ.
func threads() {
	var group sync.WaitGroup
	ready, done := make(chan bool), make(chan bool)
	for range 16 {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- true
			<-done
		})
	}
	for range 16 {
		<-ready
	}
	close(done)
	group.Wait()
}
