//go:build linux

package dockertest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// clear kills every descendant, and removes mounts and control groups of containers.
func (p *parent) clear() error {
	err := await("end of the daemon's processes", func() bool {
		p.thaw() // a frozen process does not hear SIGKILL
		all := descendants()
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(all) == 0
	})
	return errors.Join(err, p.unmount(), p.removeGroups())
}

// named tells whether a descendant has the name.
func (p *parent) named(name string) bool {
	for _, n := range descendants() {
		if n == name {
			return true
		}
	}
	return false
}

// descendants returns the names of those of this process, by id, zombies that wait for another parent included.
func descendants() map[int]string {
	parents, all := map[int]int{}, map[int]string{}
	names := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		text := string(data)
		begin, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
		if err != nil || begin < 0 || end < begin {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(text[:begin]))
		if fields := strings.Fields(text[end+1:]); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
			names[pid] = text[begin+1 : end]
		}
	}
	for pid, name := range names {
		for up := parents[pid]; up > 1; up = parents[up] {
			if up == os.Getpid() {
				all[pid] = name
				break
			}
		}
	}
	return all
}

// unmount removes what is mounted below the daemon's folder, but for a small disk at data itself.
func (p *parent) unmount() error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) < 5 || !strings.HasPrefix(fields[4], p.dir+"/") || p.small && fields[4] == p.dir+"/data" {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", fields[4], err)
		}
	}
	return nil
}

// groups calls f with each control group of containers, inner ones first.
func (p *parent) groups(f func(dir string)) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + p.cgroup)
	for _, root := range append(roots, filepath.Join("/sys/fs/cgroup", p.cgroup)) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			f(dirs[i])
		}
	}
}

func (p *parent) thaw() {
	p.groups(func(dir string) {
		_ = write(filepath.Join(dir, "freezer.state"), "THAWED") // cgroup v1
		_ = write(filepath.Join(dir, "cgroup.freeze"), "0")      // cgroup v2
	})
}

// write writes to a file that is there.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.WriteString(f, text)
	return err
}

// removeGroups waits: a group is busy for a moment after its last process.
func (p *parent) removeGroups() error {
	return await("end of the daemon's control groups", func() bool {
		left := 0
		p.groups(func(dir string) {
			if os.Remove(dir) != nil {
				left++
			}
		})
		return left == 0
	})
}

// empty removes what is in a folder, or the file.
func empty(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
