//go:build linux

// Package attack is a program that wants more than a service may have. Tests of whatever starts services let it run as
// one, and compare how far it got with how far it may get.
//
//	test ──starts──► own binary, args: Arg "read:/etc/shadow" "trace:17" … ──► attack.Main ──stdout──► JSON
//
// What it tries is harmless where it works: it undoes what it did, or ends.
package attack

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Words that begin the arguments.
const (
	Arg     = "native-attack"
	ArgRoot = "native-attack-as-root" // of a user namespace of its own, where the kernel lets a plain user make one
)

// Worked is the outcome of an attack that the system did not refuse. What it found follows.
const Worked = "="

// NoNamespace is the attack that an answer to ArgRoot has instead of all others when there is no such namespace.
const NoNamespace = "namespace:"

// Main tries each of args, which are a verb and what it is tried on with a colon between, and writes the outcomes to
// standard output: from the argument to Worked, or to the error. It returns the exit code.
func Main(args []string) int {
	if err := json.NewEncoder(os.Stdout).Encode(try(args)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// MainAsRoot is Main as root of a user namespace.
func MainAsRoot(args []string) int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = slices.Concat([]string{os.Args[0], Arg}, args)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	if err != nil {
		out, _ = json.Marshal(map[string]string{NoNamespace: err.Error()}) // two texts
	}
	_, _ = os.Stdout.Write(out) // whoever reads it misses it
	return 0
}

// Parse reads what Main has written.
func Parse(out []byte) (map[string]string, error) {
	var outcomes map[string]string
	if err := json.Unmarshal(out, &outcomes); err != nil {
		return nil, fmt.Errorf("read the outcome of attacks: %w: %q", err, out)
	}
	return outcomes, nil
}

// Verbs are what can be tried.
func Verbs() []string { return slices.Sorted(maps.Keys(verbs)) }

func try(args []string) map[string]string {
	outcomes := map[string]string{}
	for _, arg := range args {
		verb, on, _ := strings.Cut(arg, ":")
		do, ok := verbs[verb]
		if !ok {
			outcomes[arg] = "there is no such attack"
			continue
		}
		found, err := do(on)
		if err != nil {
			outcomes[arg] = reason(err)
		} else {
			outcomes[arg] = Worked + found
		}
	}
	return outcomes
}

// reason is what the system says, without the names that a test has chosen.
func reason(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		return text[at+2:]
	}
	return text
}
