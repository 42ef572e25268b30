package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// CheckProc returns an error where /proc shows the processes of another PID namespace: none of what services need there
// is that of the right process.
func CheckProc() error {
	self, err := os.Readlink("/proc/self")
	if err == nil && self == strconv.Itoa(os.Getpid()) {
		return nil
	}
	return fmt.Errorf("/proc shows the processes of another PID namespace (there this one is %q, here %d): "+
		"mount the right one, as unshare --pid --fork --mount-proc does", self, os.Getpid())
}

// stat is what /proc/<pid>/stat says (proc_pid_stat(5)).
type stat struct {
	state   string
	parent  int
	group   int
	started string // clock ticks after boot; with the boot and the pid it is unique
}

func readStat(pid int) (stat, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	// The name in parentheses may hold anything; the last ')' ends it.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return stat{}, false
	}
	f := strings.Fields(string(data[end+1:]))
	if len(f) < 20 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return stat{}, false
	}
	group, err := strconv.Atoi(f[2])
	return stat{state: f[0], parent: parent, group: group, started: f[19]}, err == nil
}

// startOf returns when the process started, in a form that is only compared; empty when there is no such process.
func startOf(pid int) string {
	s, ok := readStat(pid)
	if !ok || s.state == "Z" || s.state == "X" {
		return ""
	}
	return s.started
}

// parentOf returns the parent of pid; 0: there is no such process.
func parentOf(pid int) int {
	s, _ := readStat(pid)
	return s.parent
}

// groupOfLiving returns the process group of pid, unless pid has ended.
func groupOfLiving(pid int) (group int, ok bool) {
	s, ok := readStat(pid)
	return s.group, ok && s.state != "Z" && s.state != "X"
}

func processes() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read counts
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// environOf returns the environment that the process was started with, nil when it cannot be read.
func environOf(pid int) map[string]string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, kv := range strings.Split(string(data), "\x00") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[k] = v
		}
	}
	return out
}

// cwdOf returns the working directory of the process, empty when it cannot be read.
func cwdOf(pid int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}
