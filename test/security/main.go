//go:build linux

// Command security looks at every official service while it runs, from outside, and writes what it sees into the tables
// of docs/security.md. What stands there was measured, not meant.
//
//	installed example + agent + bridge ─► baetyl start ─► a message for each function ─► inspect: processes
//	    ─► /proc/<pid>: status, mounts, descriptors, sockets, cgroups; docker inspect ─► tables ─► between the marks
//
// In native mode the example runs in a network of its own, so that its ports are those of the documents. It needs root.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// insideNetwork is set in the process that runs in a network of its own.
const insideNetwork = "BAETYL_SECURITY_INSIDE"

func main() {
	native := flag.String("native", "", "working directory of an installed native example; it is changed")
	docker := flag.String("docker", "", "that of a docker example; empty: the tables of docker mode stay")
	images := flag.String("images", "", "what stands before the names of images, with its slash")
	document := flag.String("document", "docs/security.md", "the document")
	check := flag.Bool("check", false, "write nothing; fail when the tables are others")
	flag.Parse()
	if err := run(*native, *docker, *images, *document, *check); err != nil {
		fmt.Fprintln(os.Stderr, "security:", err)
		os.Exit(1)
	}
}

func run(native, docker, images, document string, check bool) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: only root sees the descriptors and mounts of others")
	}
	if os.Getenv(insideNetwork) != "" {
		seen, err := observeInside(native)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(seen)
	}
	old, err := os.ReadFile(document)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	text := string(old)
	if native != "" {
		seen, err := inNetwork()
		if err != nil {
			return fmt.Errorf("native mode: %w", err)
		}
		if text, err = replace(text, masterapi.ModeNative, nativeTables(seen)); err != nil {
			return err
		}
	}
	if docker != "" {
		seen, err := observeDocker(docker, images)
		if err != nil {
			return fmt.Errorf("docker mode: %w", err)
		}
		if text, err = replace(text, masterapi.ModeDocker, dockerTables(seen)); err != nil {
			return err
		}
	}
	switch {
	case text == string(old):
		fmt.Println("the tables of", document, "are as they were")
		return nil
	case check:
		return fmt.Errorf("%s says something else than what runs:\n%s", document, difference(string(old), text))
	}
	return os.WriteFile(document, []byte(text), 0o644)
}

// inNetwork runs this program again, in a network of its own.
func inNetwork() ([]facts, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideNetwork+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var seen []facts
	return seen, json.Unmarshal(out, &seen)
}

// observeInside starts the example and looks at it.
func observeInside(dir string) ([]facts, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := loopback(); err != nil {
		return nil, fmt.Errorf("bring up the loopback device: %w", err)
	}
	if err := complete(dir, masterapi.ModeNative, ""); err != nil {
		return nil, fmt.Errorf("add agent and bridge: %w", err)
	}
	s, err := start(dir, "1883")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return s.observe(procOf)
}

// loopback brings up lo, which is down in a new network.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// replace puts the tables of mode between its marks.
func replace(text, mode, tables string) (string, error) {
	begin, end := "<!-- make security: "+mode+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("the document has no place for %s: %q … %q", mode, begin, end)
	}
	return before + begin + "\n" + tables + "\n" + end + after, nil
}

// difference lists the lines that only one of two texts has.
func difference(old, now string) string {
	var b strings.Builder
	in := func(line, text string) bool { return strings.Contains("\n"+text+"\n", "\n"+line+"\n") }
	for _, line := range strings.Split(old, "\n") {
		if !in(line, now) {
			b.WriteString("- " + line + "\n")
		}
	}
	for _, line := range strings.Split(now, "\n") {
		if !in(line, old) {
			b.WriteString("+ " + line + "\n")
		}
	}
	return b.String()
}
