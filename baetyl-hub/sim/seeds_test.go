package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// number is that of an environment variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// seedLimit is how long one run may take. Runs take less than a second, on a busy machine with -race some; one
// that takes so long hangs.
const seedLimit = 5 * time.Minute

// runSeed runs a world in a process and returns what it printed, and what is wrong.
func runSeed(program string, seed uint64, env ...string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), seedLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestWorld$", "-test.timeout=0")
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("SIM_SEED=%d", seed)), env...)
	out, err = cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("it does not end within %s", seedLimit)
	}
	return out, err
}

// fixed leaves nothing to the machine: collections of garbage at moments that its speed decides would change the order
// of goroutines.
var fixed = func() []string {
	env := []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}
	if strconv.IntSize == 32 { // addresses would run out, which matters more than the order
		return env
	}
	return append(env, "GOGC=off", "GOMEMLIMIT=off")
}()

// cases are seeds that once found a fault.
func cases(t *testing.T) (seeds []uint64) {
	t.Helper()
	data, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("testdata/seeds.txt: %v", err)
		}
		seeds = append(seeds, seed)
	}
	return seeds
}

// TestSeeds runs 200 worlds, or those that SIM_FROM and SIM_SEEDS say, after the cases of testdata/seeds.txt.
func TestSeeds(t *testing.T) {
	program := sound(t)
	seeds := cases(t)
	from := number(t, "SIM_FROM", 1)
	for i := range number(t, "SIM_SEEDS", 60) {
		seeds = append(seeds, from+i)
	}
	find(t, program, seeds, func(seed uint64, out []byte, err error) bool {
		t.Errorf("%s\nseed %d: %v; replay it with: make sim SEED=%d; then add it to testdata/seeds.txt",
			end(out), seed, err, seed)
		return false
	})
}

// end is the last part of an output.
func end(out []byte) []byte {
	lines := bytes.SplitAfter(out, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-60):], nil)
}

// reason is the line of an output that says what is wrong, or its first line after a panic.
func reason(out []byte) []byte {
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("seed ")) || bytes.HasPrefix(line, []byte("panic: ")) {
			return bytes.TrimSpace(line)
		}
	}
	return []byte("it ended without a word")
}

// find runs seeds, as many side by side as there are processors, and calls wrong for each that fails until it returns
// true.
func find(t *testing.T, program string, seeds []uint64, wrong func(seed uint64, out []byte, err error) bool) {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	var next atomic.Int64
	var found atomic.Bool
	for range runtime.NumCPU() {
		group.Go(func() {
			for !found.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(seeds) {
					return
				}
				if out, err := runSeed(program, seeds[i], fixed...); err != nil {
					mu.Lock()
					if !found.Load() && wrong(seeds[i], out, err) {
						found.Store(true)
					}
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
}

// TestReplay prints the whole trace of the run of SIM_REPLAY.
func TestReplay(t *testing.T) {
	if os.Getenv("SIM_REPLAY") == "" {
		t.Skip("make sim SEED=… runs it")
	}
	seed := number(t, "SIM_REPLAY", 0)
	out, err := runSeed(sound(t), seed, append(fixed, "SIM_TRACE=1")...)
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}

// TestSameSeedSameRun compares runs of a seed: what happened, and how often. What the kernel decides is not all taken
// out of the runtime: on a machine that is very busy one run in hundreds is another, so two in a row of a few have to
// be the same. Chance in the hub itself makes nearly all differ. For the same reason the sum of the trace is not
// compared.
func TestSameSeedSameRun(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("see fixed")
	}
	const runs = 6
	program := sound(t)
	for seed := range uint64(5) {
		var seen []string
		for same := false; !same && len(seen) < runs; {
			out, _ := runSeed(program, seed, fixed...)
			result, _, _ := strings.Cut(string(reason(out)), ", trace")
			same = len(seen) > 0 && seen[len(seen)-1] == result
			if seen = append(seen, result); !same && len(seen) == runs {
				t.Errorf("runs of a seed differ:\n%s", strings.Join(seen, "\n"))
			}
		}
	}
}

// TestRace runs some worlds in this binary, on all processors, for the race detector. These runs cannot be repeated.
func TestRace(t *testing.T) {
	for seed := range uint64(10) {
		if out, err := runSeed(os.Args[0], 1000+seed); err != nil {
			t.Errorf("%s\nseed %d, with chance: %v", end(out), 1000+seed, err)
		}
	}
}
