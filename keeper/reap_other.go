//go:build unix && !linux

package keeper

import "syscall"

// hasEnded reaps the leader if it has ended: a zombie cannot be seen here without that. As long as its group has
// members the kernel gives its number to nobody.
func (h *process) hasEnded() bool {
	status, ok := collect(h.PID)
	h.status = status
	return ok
}

func (h *process) collect() (syscall.WaitStatus, bool) { return h.status, true }

// collectGroup reaps a helper if it has ended, and kills what it has started for itself.
func collectGroup(pid int) (syscall.WaitStatus, bool) {
	status, ok := collect(pid)
	if ok {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	return status, ok
}

// reapOrphans does nothing: they go to the first process here.
func (s *Server) reapOrphans() {}

// groupIsEmpty tells whether a group has no process.
func groupIsEmpty(group int) bool { return syscall.Kill(-group, 0) == syscall.ESRCH }
