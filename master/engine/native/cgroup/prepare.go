package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/keeper/members"
)

// prepare makes our folder in each hierarchy, so that groups in it can have limits. It is done once, before the first
// group; what fails of it for a controller shows in that controller being missing.
func (t *Tree) prepare() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.prepared {
		return nil
	}
	for _, p := range t.all() {
		folder := filepath.Join(p.base, t.folder)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !p.v2 {
			if err := t.inherit(dir{path: folder, controllers: p.controllers}); err != nil {
				return err
			}
			if slices.Contains(p.controllers, memory) { // else the limits of a group would not be those of groups in it
				_ = t.write(filepath.Join(folder, "memory.use_hierarchy"), "1")
			}
			continue
		}
		if err := t.giveAway(p, folder); err != nil {
			return err
		}
	}
	t.prepared = true
	return nil
}

// inherit gives a cpuset of v1 the cores and memory of the group above: it begins with none, and takes no process so.
func (t *Tree) inherit(d dir) error {
	if d.v2 || !slices.Contains(d.controllers, cpuset) {
		return nil
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(d.path), name))
		if err == nil {
			err = t.write(filepath.Join(d.path, name), strings.TrimSpace(string(text)))
		}
		if err != nil {
			return fmt.Errorf("set up cpuset: %w", err)
		}
	}
	return nil
}

// giveAway lets groups in folder, and folder itself, have the controllers of p, as far as the system lets them.
func (t *Tree) giveAway(p place, folder string) error {
	if len(p.controllers) > 0 && p.crowded {
		if err := t.moveAside(p.base); err != nil {
			return err
		}
	}
	for _, at := range []string{p.base, folder} {
		for _, c := range p.controllers {
			// One by one: a controller that can't be given away (cpu, where a real-time process runs) keeps no other back.
			_ = t.write(filepath.Join(at, "cgroup.subtree_control"), "+"+c)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	given := strings.Fields(string(text))
	refused := func(c string) bool { return !slices.Contains(given, c) }
	t.v2.controllers = slices.DeleteFunc(slices.Clone(p.controllers), refused)
	return nil
}

// moveAside moves all processes in base itself into <base>/baetyl. What is delegated holds keeper and master only, and
// in a container all that the container runs.
func (t *Tree) moveAside(base string) error {
	to := filepath.Join(base, leaf)
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 10 { // processes that are started meanwhile are moved in the next round
		list, err := members.Processes(base)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, pid := range list {
			err := t.write(filepath.Join(to, "cgroup.procs"), strconv.Itoa(pid))
			if err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("move process %d to %s: %w", pid, to, err)
			}
		}
	}
	return nil // some controllers will be missing, and are named
}
