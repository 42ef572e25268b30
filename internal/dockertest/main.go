//go:build linux

package dockertest

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// envShared is set in the programs that a test starts: they have its daemon.
const envShared = "DOCKERTEST_SHARED"

// shared is the daemon of the package, if Main has started one.
var shared *D

// Main runs the tests of a package, and returns the exit code. If EnvDaemon is set, they get a daemon of that program:
// DOCKER_HOST is its own for as long. Otherwise they have the one that DOCKER_HOST says.
//
//	func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }
func Main(m *testing.M) int {
	if os.Getenv(EnvDaemon) == "" || os.Getenv(envShared) != "" {
		return m.Run()
	}
	d, err := open(Options{})
	if err == nil {
		defer func() {
			if err := d.close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		if err = d.start(); err == nil {
			err = errors.Join(os.Setenv("DOCKER_HOST", d.Host()), os.Setenv(envShared, "1"))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = d
	return m.Run()
}
