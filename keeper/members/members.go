// Package members tells which processes are in a cgroup and those below it, and signals them. The keeper ends with it
// what it holds, the native engine what belongs to an instance.
package members

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Populated tells whether a process is in the group at path, or below it.
func Populated(path string) bool {
	for _, p := range Nested(path) {
		if list, _ := Processes(p); len(list) > 0 {
			return true
		}
	}
	return false
}

// Close kills the group at path as one, and lets it make no more processes, as far as the kernel can: v2 since Linux
// 5.14, v1 with the controller pids. What is left is for Signal.
func Close(path string) {
	for file, text := range map[string]string{"cgroup.kill": "1", "pids.max": "0"} {
		if f, err := os.OpenFile(filepath.Join(path, file), os.O_WRONLY, 0); err == nil { // else it cannot
			_, _ = f.WriteString(text)
			_ = f.Close()
		}
	}
}

// Nested returns path and the groups in it, each before those in it.
func Nested(path string) []string {
	out := []string{path}
	entries, _ := os.ReadDir(path) // it may be gone by now
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, Nested(filepath.Join(path, e.Name()))...)
		}
	}
	return out
}

// Processes reads which processes are in the group at path itself; none when there is no such group any more.
func Processes(path string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV):
		return nil, nil
	case errors.Is(err, syscall.EOPNOTSUPP): // a threaded group of v2, whose processes the group above lists
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parsePIDs(string(text)), nil
}

func parsePIDs(text string) (out []int) {
	for line := range strings.Lines(text) {
		// 0 is a process that is not visible here; to kill that would be to kill our own group.
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	return out
}
