package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Freeze holds every process of the group where it is, until Thaw. It returns when all are held; an error means that
// ctx has ended before. Kernels whose v2 freezes nothing (before 5.2, or v1 alone) stop processes by SIGSTOP.
func (g *Group) Freeze(ctx context.Context) error {
	held := g.stopped
	if at := g.V2(); at != "" && g.write(filepath.Join(at, "cgroup.freeze"), "1") == nil {
		held = func() bool { return !g.Populated() || keyed(at, "cgroup.events")["frozen"] == 1 }
	}
	for !held() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("freeze %s: %w", g.Instance, errors.Join(ctx.Err(), g.Thaw()))
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// Thaw lets the processes of the group go on. It may be called at any time, also for a group that is not held.
func (g *Group) Thaw() error {
	if at := g.V2(); at != "" {
		err := g.write(filepath.Join(at, "cgroup.freeze"), "0")
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return g.Signal(syscall.SIGCONT)
}

// stopped sends SIGSTOP to what does not stand yet, and tells whether all did.
func (g *Group) stopped() bool {
	list, err := g.PIDs()
	for _, pid := range list {
		if !stands(pid) {
			_ = g.Signal(syscall.SIGSTOP) // the next round sees what it has missed
			return false
		}
	}
	return err == nil
}

// stands tells whether a process executes nothing: it is stopped, or has ended (proc(5), state).
func stands(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	text := string(data)
	_, rest, _ := strings.Cut(text[strings.LastIndexByte(text, ')')+1:], " ")
	return rest != "" && strings.ContainsRune("TtZX", rune(rest[0]))
}
