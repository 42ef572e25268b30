package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/keeper/members"
)

const (
	pollEvery  = 5 * time.Millisecond
	removeTime = 2 * time.Second // for the kernel to let go of processes that have ended
)

// Kill ends every process of the group, whatever it is doing, and waits until there is none. It fails when ctx ends
// before that: a process that waits for a dead disk cannot be killed.
func (g *Group) Kill(ctx context.Context) error {
	for {
		if !g.Populated() {
			return nil
		}
		if err := g.killOnce(); err != nil {
			return fmt.Errorf("kill %s: %w", g.Instance, err)
		}
		select {
		case <-ctx.Done():
			if !g.Populated() {
				return nil
			}
			list, _ := g.PIDs()
			return fmt.Errorf("kill %s: %w; still there: %v", g.Instance, ctx.Err(), list)
		case <-time.After(pollEvery):
		}
	}
}

// killOnce kills what is there. Where the kernel does not kill a group as one (v2 since Linux 5.14), it first keeps the
// processes from making more: v2 freezes them, v1 allows none beside those that there are.
func (g *Group) killOnce() error {
	if at := g.V2(); at != "" {
		err := g.write(filepath.Join(at, "cgroup.kill"), "1")
		if err == nil && len(g.V1()) == 0 {
			return nil
		}
		if err != nil {
			_ = g.write(filepath.Join(at, "cgroup.freeze"), "1") // older than 5.2 has none; what counts is the loop of Kill
		}
	}
	if d, ok := g.with(pids); ok && !d.v2 {
		_ = g.write(filepath.Join(d.path, "pids.max"), "0") // as above
	}
	return g.Signal(syscall.SIGKILL)
}

// Signal sends sig to every process of the group that there is now.
func (g *Group) Signal(sig syscall.Signal) error {
	for _, d := range g.dirs {
		for _, path := range members.Nested(d.path) {
			if err := members.Signal(path, sig); err != nil {
				return err
			}
		}
	}
	return nil
}

// Has tells whether a process is in the group.
func (g *Group) Has(pid int) bool {
	for _, d := range g.dirs {
		for _, path := range members.Nested(d.path) {
			if list, _ := members.Processes(path); slices.Contains(list, pid) {
				return true
			}
		}
	}
	return false
}

// Populated tells whether the group has a process.
func (g *Group) Populated() bool {
	for _, d := range g.dirs {
		if d.v2 {
			if keyed(d.path, "cgroup.events")["populated"] != 0 {
				return true
			}
			continue
		}
		for _, path := range members.Nested(d.path) {
			if list, _ := members.Processes(path); len(list) > 0 {
				return true
			}
		}
	}
	return false
}

// PIDs are the processes of the group, in order.
func (g *Group) PIDs() ([]int, error) {
	var out []int
	for _, d := range g.dirs {
		for _, path := range members.Nested(d.path) {
			list, err := members.Processes(path)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Remove removes the group, with groups that its processes have made in it. All of them must have ended.
func (g *Group) Remove() error {
	until := time.Now().Add(removeTime)
	for _, d := range g.dirs {
		list := members.Nested(d.path)
		for _, path := range slices.Backward(list) { // the inner ones first
			err := os.Remove(path)
			for errors.Is(err, syscall.EBUSY) && time.Now().Before(until) {
				time.Sleep(pollEvery)
				err = os.Remove(path)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove cgroup of %s: %w", g.Instance, err)
			}
		}
	}
	return nil
}
