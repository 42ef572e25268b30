package keeper

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hasEnded tells whether the leader is a zombie, and leaves it one; or whether another one has reaped it.
func (h *process) hasEnded() bool { return peek(unix.P_PID, h.PID) != 0 }

func (h *process) collect() (syscall.WaitStatus, bool) { return collect(h.PID) }

// collectGroup reaps a helper if it has ended, and kills what it has started for itself: before that, since its number
// belongs to another one afterwards.
func collectGroup(pid int) (syscall.WaitStatus, bool) {
	if peek(unix.P_PID, pid) > 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	return collect(pid)
}

// peek returns a child that has ended and has not been reaped; 0: there is none; -1: there is no child.
func peek(kind, id int) int {
	var info unix.Siginfo
	for {
		err := unix.Waitid(kind, id, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.ECHILD) {
			return -1
		}
		if err != nil || info.Signo == 0 {
			return 0
		}
		// si_pid is the first field of the union, which is aligned to a pointer (sigaction(2)).
		const head = 3 * unsafe.Sizeof(int32(0))
		const align = unsafe.Sizeof(uintptr(0))
		return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (head+align-1)/align*align)))
	}
}

// reapOrphans reaps children that others have left to this process. The kernel shows one at a time: behind a leader
// that stays a zombie they wait until that is reaped.
func (s *Server) reapOrphans() {
	for {
		pid := peek(unix.P_ALL, 0)
		if pid <= 0 || s.isOurs(pid) {
			return
		}
		if _, ok := collect(pid); !ok {
			return
		}
	}
}

func (s *Server) isOurs(pid int) bool {
	if _, ok := s.helpers[pid]; ok {
		return true
	}
	for _, h := range s.processes {
		if h.PID == pid && h.End == nil {
			return true
		}
	}
	return false
}

// groupIsEmpty tells whether no process of a group lives.
func groupIsEmpty(group int) bool {
	dir, err := os.Open("/proc")
	if err != nil {
		return true
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read counts
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat")
		if err == nil && livesIn(text, group) {
			return false
		}
	}
	return true
}

// livesIn tells whether /proc/<pid>/stat (proc_pid_stat(5)) is of a living process of the group.
func livesIn(stat []byte, group int) bool {
	// The name in parentheses may hold anything; the last ')' ends it. State, parent and group follow.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 3 || len(f[0]) != 1 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return false
	}
	of, err := strconv.Atoi(string(f[2]))
	return err == nil && of == group
}
