//go:build unix

package keeper

import (
	"syscall"
	"time"
)

// reap finds all children that have ended.
func (s *Server) reap() {
	for _, h := range s.processes {
		if h.PID != 0 && !h.dead && h.End == nil && h.hasEnded() {
			h.dead, h.deadAt = true, time.Now()
			go s.clear(h, h.PID, s.graceOf(h), h.deadAt)
		}
	}
	for pid, told := range s.helpers {
		if status, ok := collectGroup(pid); ok {
			delete(s.helpers, pid)
			told(status)
		}
	}
	if s.orphan && s.forking == 0 { // a child that was just forked is not known yet
		s.reapOrphans()
	}
}

// clear ends what the leader left in its group. It runs beside the loop; the leader is not reaped before it has ended.
func (s *Server) clear(h *process, pid int, grace time.Duration, at time.Time) {
	if !groupIsEmpty(pid) {
		_ = syscall.Kill(-pid, syscall.SIGTERM)
		_ = syscall.Kill(-pid, syscall.SIGCONT)
	}
	var killed time.Time
	for !groupIsEmpty(pid) {
		wait := orphanGrace
		if h.signalled.Load() {
			wait = grace
		}
		now := time.Now()
		if killed.IsZero() && (now.Sub(at) > wait || h.killed.Load()) {
			killed = now
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		if !killed.IsZero() && now.Sub(killed) > killTimeout {
			s.log("error", "processes of the group %d cannot be killed and keep running", pid)
			break
		}
		time.Sleep(orphanInterval)
	}
	s.post(func() {
		h.cleared = true
		s.drain(h)
		if h.End == nil {
			s.after(outputTimeout, func() {
				if h.End == nil {
					h.out.giveUp()
					s.drain(h)
				}
			})
		}
	})
}

// drain goes on with a process whose group is empty when its output has ended: it reaps the leader and tells the
// master.
func (s *Server) drain(h *process) {
	if !h.cleared || h.End != nil || !h.out.ended() {
		return
	}
	status, ok := h.collect()
	if !ok {
		status = unknownEnd
	}
	h.End = &End{At: h.deadAt, Code: status.ExitStatus()}
	if status.Signaled() {
		h.End.Code, h.End.Signal = -1, int(status.Signal())
	}
	switch {
	case h.failed:
		s.forget(h)
	case !h.starting:
		s.tell(h)
		s.quiet()
	}
	s.reap() // orphans that stood behind it
}

// collect reaps pid if it has ended. When somebody else has done that, nothing good is known of its end.
func collect(pid int) (status syscall.WaitStatus, ok bool) {
	for {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		switch err {
		case syscall.EINTR:
		case syscall.ECHILD:
			return unknownEnd, true
		default:
			return status, err == nil && got == pid
		}
	}
}

// unknownEnd is exit status 255.
const unknownEnd = syscall.WaitStatus(255 << 8)

// killAll kills every group and closes empty when all have ended.
func (s *Server) killAll(empty chan struct{}) {
	left := false
	for _, h := range s.processes {
		if h.End == nil {
			left = true
			if h.PID != 0 {
				_ = syscall.Kill(-h.PID, syscall.SIGKILL)
			}
		}
	}
	if !left {
		close(empty)
		return
	}
	s.quiet = func() {
		s.quiet = func() {}
		s.killAll(empty)
	}
}
