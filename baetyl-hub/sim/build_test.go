package sim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// patch replaces one piece of a source file in a build. The product has no code for it.
type patch struct{ file, from, to string }

// fixedRuntime takes the chance out of Go's runtime: the order of maps, of ready cases of select and of timers of the
// same moment comes from a fixed seed, and no goroutine is interrupted because of the time that it takes.
func fixedRuntime() []patch {
	rand, proc := runtimeFile("rand.go"), runtimeFile("proc.go")
	return []patch{
		{rand, "\tglobalRand.state.Init(*seed)\n", "\tclear(seed[:])\n\tglobalRand.state.Init(*seed)\n"},
		// Threads have a state each, and which one a goroutine is on is up to the kernel: all that run goroutines, of
		// which there is one at a time, share one.
		{rand, "\tmp := getg().m\n\tc := &mp.chacha8\n", shared + "\tc := &mp.chacha8\n"},
		{rand, "\tmp := getg().m\n\t// Implement wyrand", shared + "\t// Implement wyrand"},
		{rand, "var readRandomFailed bool\n", "var readRandomFailed bool\n\nvar sharedM m\n"},
		{rand, "\tmp.cheaprand = rand()\n", "\tmp.cheaprand = bootstrapRand()\n"},
		{proc, "const forcePreemptNS = 10 * 1000 * 1000 ", "const forcePreemptNS = 1 << 60 "},
		{proc, "stealOrder.start(cheaprand())", "stealOrder.start(0)"}, // how often is up to the kernel
	}
}

const shared = "\tmp := getg().m\n\tif mp.p != 0 {\n\t\tmp = &sharedM\n\t}\n"

func runtimeFile(name string) string { return filepath.Join(goroot(), "src/runtime", name) }

// goroot is the folder of the Go that runs the tests.
var goroot = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		panic("go env GOROOT: " + err.Error())
	}
	return strings.TrimSpace(string(out))
})

// built is the program without bugs, which several tests use, and its folder.
var built struct{ dir, program string }

// TestMain removes what was built.
func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built.dir)
	os.Exit(code)
}

// sound returns the program without bugs.
func sound(t *testing.T) string {
	t.Helper()
	if built.program == "" {
		dir, err := os.MkdirTemp("", "baetyl-sim-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
		built.program = build(t, dir, fixedRuntime())
	}
	return built.program
}

// patched returns the texts of files with patches, by their paths.
func patched(t *testing.T, patches []patch) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, p := range patches {
		text, ok := texts[p.file]
		if !ok {
			data, err := os.ReadFile(p.file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		if n := strings.Count(text, p.from); n != 1 {
			t.Fatalf("%s has %d times what is to be replaced, not once; look what has become of:\n%s", p.file, n, p.from)
		}
		texts[p.file] = strings.Replace(text, p.from, p.to, 1)
	}
	return texts
}

// build compiles the test binary of this package with patches into dir, and returns its path.
func build(t *testing.T, dir string, patches []patch) string {
	t.Helper()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range patched(t, patches) {
		to := filepath.Join(dir, fmt.Sprintf("%d.go", len(overlay.Replace)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		abs, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[abs] = to
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list, out := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "world")
	if err := os.WriteFile(list, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-c", "-trimpath", "-overlay", list, "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT=norandomizedheapbase64") // pointers are keys of maps
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with patches: %v\n%s", err, text)
	}
	return out
}
