//go:build unix && !linux

package native

import (
	"strconv"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// CheckProc has nothing to check here.
func CheckProc() error { return nil }

// startOf returns when the process started, in a form that is only compared; empty when there is no such process.
func startOf(pid int) string {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return ""
	}
	if states, err := p.Status(); err == nil && len(states) > 0 && states[0] == process.Zombie {
		return ""
	}
	ms, err := p.CreateTime()
	if err != nil {
		return ""
	}
	return strconv.FormatInt(ms, 10)
}

// parentOf is not asked here: see canNotify.
func parentOf(int) int { return 0 }

// groupOfLiving returns the process group of pid, unless pid has ended.
func groupOfLiving(pid int) (group int, ok bool) {
	group, err := unix.Getpgid(pid)
	return group, err == nil && startOf(pid) != ""
}

func processes() (pids []int) {
	all, _ := process.Pids() // what could be read counts
	for _, p := range all {
		pids = append(pids, int(p))
	}
	return pids
}

// environOf and cwdOf need rights that a process does not have here: Reap finds left-overs by their records alone.
func environOf(int) map[string]string { return nil }
func cwdOf(int) string                { return "" }
