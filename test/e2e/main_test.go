//go:build e2e

// Package e2e_test uses Baetyl as its users do: it installs an example with make, boots it, and talks to it with
// mosquitto_pub, mosquitto_sub, MQTT.js and paho.
//
//	make install-native PREFIX=output/e2e   once; with E2E_MODE=docker: make image, make install
//	     │ hard-linked copy, free ports in its configuration
//	     ▼
//	output/e/<test>  ──► bin/baetyl start ◄── real clients, kill -9, Ctrl-C, bad configuration
//
// A test sees what a user sees: messages, the API, log files, processes. It calls the programs from outside only. At
// its end it stops its system, and fails if a process or container outlives the master. Both modes run the same tests,
// except that nativeOnly skips those that make sense in native mode only, and nativeFirst leaves to `make test-all`
// those of which a container changes little.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

var (
	root   string // the checkout
	prefix string // the example as installed, never started and never changed
	mode   = masterapi.ModeNative
)

func TestMain(m *testing.M) {
	if err := install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func install() error {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if m := os.Getenv("E2E_MODE"); m != "" {
		mode = m
	}
	if prefix = os.Getenv("E2E_PREFIX"); prefix != "" { // an example that is installed already
		return nil
	}
	if mode == masterapi.ModeDocker {
		return installDocker()
	}
	prefix = filepath.Join(root, "output", "e2e")
	return run(nil, "make", "--no-print-directory", "install-native", "PREFIX="+prefix)
}

// run runs a command in the checkout.
func run(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "MAKEFLAGS="), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// nativeOnly ends a test that makes no sense with containers.
func nativeOnly(t *testing.T, why string) {
	t.Helper()
	if mode != masterapi.ModeNative {
		t.Skip("native mode only: " + why)
	}
}

// nativeFirst ends a test of what modules do among themselves, unless BAETYL_TEST_ALL is set: the same programs in
// containers add minutes and little else.
func nativeFirst(t *testing.T) {
	t.Helper()
	if mode != masterapi.ModeNative && os.Getenv("BAETYL_TEST_ALL") == "" {
		t.Skip("in native mode; with BAETYL_TEST_ALL=1 in containers too")
	}
}
