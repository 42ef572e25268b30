//go:build e2e

// Package e2e_test uses Baetyl as its users do: it installs the native example with `make install-native`, boots it, and talks to it
// with mosquitto_pub, mosquitto_sub, MQTT.js and paho.
//
//	make install-native PREFIX=output/e2e   once
//	     │ hard-linked copy, free ports in its configuration
//	     ▼
//	output/e/<test>  ──► bin/baetyl start ◄── real clients, kill -9, Ctrl-C, bad configuration
//
// A test sees what a user sees: messages, the API, log files, processes. It knows nothing of the Go packages inside. Nothing stays
// behind: every system is stopped, and a process that outlives its master fails the test that made it.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	root   string // the checkout
	prefix string // the example as installed, never started and never changed
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
	if prefix = os.Getenv("E2E_PREFIX"); prefix != "" { // an example that is installed already
		return nil
	}
	prefix = filepath.Join(root, "output", "e2e")
	cmd := exec.Command("make", "--no-print-directory", "install-native", "PREFIX="+prefix)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make install-native PREFIX=%s: %w", prefix, err)
	}
	return nil
}
