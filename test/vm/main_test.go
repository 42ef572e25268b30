//go:build vm

// Package vm_test runs Baetyl on a machine with systemd, cgroup v2 and AppArmor, which reboots and whose power is cut:
// what the machines of developers and CI cannot show.
//
//	make: baetyl, packages of modules in Go ──► the native example in a folder ──► /opt/site of the machine
//	                                           scripts/systemd/baetyl.service ──► its systemd
//	each test: /opt/site ──► /usr/local, as after a first installation
//
// machine.sh boots the machine in emulation, ten times slower than this one; build.sh makes what it starts from. A boot
// takes longer than most tests: all share one machine, one after the other. With VM_DIR it is one that is up already
// (FORWARD=1883 machine.sh up VM_DIR), and stays.
package vm_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// modules are those of the example that are written in Go. The functions in Python and Node are not installed.
var modules = []string{"baetyl-hub", "baetyl-function-manager", "baetyl-function-sql", "baetyl-timer"}

// site is the example as installed, with the program of testdata/attacker as package of a service.
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
	if err := build("../..", site); err != nil {
		return 1, err
	}
	if err := errors.Join(withoutMissing(site), addAttacker()); err != nil {
		return 1, err
	}
	defer discard()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() { // until the end of the process
		<-interrupted
		discard()
		os.Exit(1)
	}()
	return run(), nil
}

// build installs the example of a source tree into dest.
func build(tree, dest string) error {
	targets := []string{"--no-print-directory", "baetyl", ".build/installer"}
	for _, m := range modules {
		targets = append(targets, m+"/package.zip")
	}
	for _, args := range [][]string{
		append([]string{"make"}, targets...),
		append([]string{"scripts/install-tree.sh", dest, "example/native"}, modules...),
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = tree
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install the example: %w: %s", err, out)
		}
	}
	return nil
}

// withoutMissing takes the functions in Python and Node off the example in dir.
func withoutMissing(dir string) error {
	for path, parts := range map[string][][2]string{ // from the first text, up to the second one
		"application.yml": {{"  # replica 0", "  - name: function-sql-filter\n"}},
		"function-manager-conf/service.yml": {
			{"  - clientid: func-python27-sayhi-1\n", "  - clientid: func-sql-filter-1\n"},
			{"  - name: python27-sayhi\n", "  - name: sql-filter\n"},
		},
	} {
		path = filepath.Join(dir, "var/db/baetyl", path)
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("take functions off the example: %w", err)
		}
		text := string(data)
		for _, part := range parts {
			from, to := strings.Index(text, part[0]), strings.Index(text, part[1])
			if from < 0 || to < from {
				return fmt.Errorf("take functions off the example: %s has no %q before %q", path, part[0], part[1])
			}
			text = text[:from] + text[to:]
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("take functions off the example: %w", err)
		}
	}
	return nil
}

func addAttacker() error {
	dir := filepath.Join(site, "var/db/baetyl/attacker")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", "./testdata/attacker")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the attacker: %w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.yml"), []byte("entry: attacker\n"), 0o644); err != nil {
		return fmt.Errorf("add the attacker: %w", err)
	}
	return nil
}
