//go:build vm

// Package vm_test runs Baetyl on a machine with systemd, cgroup v2 and AppArmor, which reboots and whose power is cut:
// what the machines of developers and CI cannot show.
//
//	make: baetyl, packages of modules in Go ──► the native example in a folder ──► /usr/local of the machine
//	                                           scripts/systemd/baetyl.service ──► its systemd
//
// machine.sh boots machines in emulation, ten times slower than this one; build.sh makes what they start from. Each
// test has a machine of its own.
package vm_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules are those of the example that are written in Go. The functions in Python and Node are not installed: nothing
// calls them here.
var modules = []string{"baetyl-hub", "baetyl-function-manager", "baetyl-function-sql", "baetyl-timer"}

// site is the example as installed, with the unit in etc/systemd.
var site string

func TestMain(m *testing.M) {
	code, err := prepare(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepare(run func() int) (int, error) {
	if _, err := os.Stat(filepath.Join(cmp.Or(os.Getenv("VM_CACHE"), "../../output/cache/vm"), "stamp")); err != nil {
		if os.Getenv("CI") == "true" {
			return 1, fmt.Errorf("find what machines start from: %w", err)
		}
		fmt.Println("skipped: there is nothing that machines start from (test/vm/build.sh)")
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "vm-site")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	site = dir
	targets := []string{"--no-print-directory", "baetyl", ".build/installer"}
	for _, m := range modules {
		targets = append(targets, m+"/package.zip")
	}
	for _, args := range [][]string{
		append([]string{"make"}, targets...),
		append([]string{"scripts/install.sh", site, "example/native"}, modules...),
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("install the example: %w: %s", err, out)
		}
	}
	return run(), nil
}

// install boots a machine with the example and its unit, which is not started.
func install(t *testing.T, ports ...string) *machine {
	t.Helper()
	m := boot(t, ports...)
	m.copy(site, "/usr/local")
	unit, err := filepath.Abs("../../scripts/systemd")
	require.NoError(t, err)
	m.copy(unit, "/etc/systemd/system")
	m.run("chown -R root:root /usr/local /etc/systemd/system && systemctl daemon-reload && systemctl enable -q baetyl")
	return m
}
