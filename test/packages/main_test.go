//go:build packages

// Package packages_test installs what `make packages` makes with the real dpkg and rpm, in roots of Debian that have no
// systemd running, and starts what is installed there.
//
//	output/packages ──► a copy of Debian by debootstrap ──► dpkg -i, rpm -i ──► baetyl start in namespaces of its own
//
// What needs systemd is tested on a machine in emulation: test/vm.
package packages_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

var (
	checkout string // the checkout
	built    string // the folder with the packages
	version  string
)

func TestMain(m *testing.M) {
	var err error
	if checkout, err = filepath.Abs("../.."); err != nil {
		panic(err)
	}
	built = filepath.Join(checkout, "output", "packages")
	data, err := os.ReadFile(filepath.Join(checkout, "VERSION"))
	if err != nil {
		panic(err)
	}
	version = strings.TrimSpace(string(data))
	os.Exit(m.Run())
}

// long ends a test in the short form, which runs every day.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("in the long form alone: make test-packages")
	}
}

// artifact is the path of a file that make packages has made.
func artifact(t *testing.T, suffix string) string {
	t.Helper()
	path := filepath.Join(built, "baetyl-"+version+suffix)
	require.FileExists(t, path, "make packages makes it")
	return path
}

// root is a Debian to install into.
type root struct {
	t   *testing.T
	dir string
}

// debian unpacks one, with nothing running in it.
func debian(t *testing.T) root {
	t.Helper()
	if os.Getuid() != 0 {
		requires.Missing(t, "root", "a root of Debian is made and entered by root alone")
	}
	said := strings.Split(strings.TrimSpace(command(t, nil, filepath.Join(checkout, "scripts/debian-root.sh"))), "\n")
	r := root{t, t.TempDir()}
	command(t, nil, "tar", "-C", r.dir, "-xf", said[len(said)-1]) // progress is before it
	for _, dir := range []string{"proc", "sys", "dev"} {
		require.NoError(t, os.MkdirAll(filepath.Join(r.dir, dir), 0o755))
	}
	for _, name := range []string{"null", "urandom", "zero"} {
		command(t, nil, "cp", "-a", "/dev/"+name, filepath.Join(r.dir, "dev", name))
	}
	return r
}

// command runs a program and returns what it says; the test ends when it fails.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := try(env, name, args...)
	require.NoError(t, err, out)
	return out
}

func try(env []string, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// run runs a command in the root.
func (r root) run(args ...string) string {
	r.t.Helper()
	return command(r.t, []string{"DEBIAN_FRONTEND=noninteractive"}, "chroot", append([]string{r.dir}, args...)...)
}

// dpkg installs a deb of this machine.
func (r root) dpkg(deb string, options ...string) string {
	r.t.Helper()
	to := filepath.Join(r.dir, "tmp", filepath.Base(deb))
	command(r.t, nil, "cp", deb, to)
	defer os.Remove(to)
	return r.run(append(append([]string{"dpkg"}, options...), "-i", "/tmp/"+filepath.Base(deb))...)
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	require.NoError(r.t, err)
	return string(data)
}

func (r root) write(name, text string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(r.path(name), []byte(text), 0o644))
}

// notes is what dpkg, rpm and groupadd write about themselves.
var notes = []string{
	"/var/lib/dpkg", "/var/log/dpkg.log", "/var/lib/rpm", "/var/cache", "/tmp", "/root", "/etc/group-", "/etc/gshadow-",
}

// same fails with the lines that only one of two lists has.
func same(t *testing.T, before, after []string) {
	t.Helper()
	for _, line := range before {
		if _, found := slices.BinarySearch(after, line); !found {
			t.Errorf("lost: %s", line)
		}
	}
	for _, line := range after {
		if _, found := slices.BinarySearch(before, line); !found {
			t.Errorf("left behind: %s", line)
		}
	}
}

// files is everything in the root with its mode, sorted, but for notes.
func (r root) files() []string {
	r.t.Helper()
	var all []string
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.dir)
		if slices.Contains(notes, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		all = append(all, fmt.Sprintf("%s %v", name, info.Mode()))
		return err
	})
	require.NoError(r.t, err)
	slices.Sort(all)
	return all
}

// next makes a package of a later version out of a deb: the files that change gives, by their path.
func next(t *testing.T, deb, to string, change map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	command(t, nil, "dpkg-deb", "-R", deb, tree)
	control := filepath.Join(tree, "DEBIAN", "control")
	data, err := os.ReadFile(control)
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "Version: ") {
			lines[i] = "Version: " + to
		}
	}
	require.NoError(t, os.WriteFile(control, []byte(strings.Join(lines, "\n")), 0o644))
	for name, text := range change {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644))
	}
	out := filepath.Join(dir, filepath.Base(deb))
	command(t, nil, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, out)
	return out
}
