//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// process is a running process of the system; in docker mode the first one of a container.
type process struct {
	pid     int
	name    string // of its program; in docker mode of the container
	service string
	args    string
}

// processes lists what runs of the services: containers, or processes that work in the folders of services.
func (s *system) processes() []process {
	if mode == masterapi.ModeDocker {
		return s.containers()
	}
	services := s.path("var/run/baetyl/services") + "/"
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var out []process
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(cwd, services) {
			continue
		}
		proc := filepath.Dir(link)
		if stat, err := os.ReadFile(proc + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(proc))
		name, _ := os.ReadFile(proc + "/comm")
		args, _ := os.ReadFile(proc + "/cmdline")
		service, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(cwd, services), " (deleted)"), "/")
		out = append(out, process{
			pid:     pid,
			name:    strings.TrimSpace(string(name)),
			service: service,
			args:    strings.ReplaceAll(string(args), "\x00", " "),
		})
	}
	return out
}

func (s *system) processesOf(service string) []process {
	var out []process
	for _, p := range s.processes() {
		if p.service == service {
			out = append(out, p)
		}
	}
	return out
}

// everyProcess lists what runs of the system, the keeper and the master too: whatever names its folder or works in it.
func (s *system) everyProcess() (out []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		args, _ := os.ReadFile(proc + "/cmdline") // nothing of a zombie
		cwd, _ := os.Readlink(proc + "/cwd")
		exe, _ := os.Readlink(proc + "/exe")
		for _, text := range []string{string(args), cwd, exe} {
			if strings.Contains(text, s.dir+"/") || text == s.dir {
				out = append(out, fmt.Sprintf("%s %s in %s", filepath.Base(proc), args, cwd))
				break
			}
		}
	}
	return out
}

// one returns the only process of a service.
func (s *system) one(service string) process {
	s.t.Helper()
	var found process
	s.eventually("one process of "+service, func() error {
		all := s.processesOf(service)
		if len(all) != 1 {
			return fmt.Errorf("%d processes run: %v", len(all), all)
		}
		found = all[0]
		return nil
	})
	return found
}

// master is the process id of the master: the child of the keeper that is called so. It waits until there is one.
func (s *system) master() int {
	s.t.Helper()
	var pid int
	s.eventually("a master runs", func() error {
		for _, child := range children(s.cmd.Process.Pid) {
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if strings.HasPrefix(string(args), keeper.MasterName+"\x00") {
				pid = child
				return nil
			}
		}
		return errors.New("none")
	})
	return pid
}

// children are the process ids of the children of a process, also of those that its other threads have started.
func children(pid int) (out []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(data)) {
			child, _ := strconv.Atoi(word)
			out = append(out, child)
		}
	}
	return out
}

// killMaster is kill -9 of the master alone: the keeper starts another one.
func (s *system) killMaster() {
	s.t.Helper()
	pid := s.master()
	must(s.t, syscall.Kill(pid, syscall.SIGKILL))
	s.eventually("the killed master is gone", func() error { return gone(pid) })
}

// killKeeper is kill -9 of the keeper, with which the master and native services end.
func (s *system) killKeeper() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Kill())
	<-s.ended
}

// roots leaves out the processes whose parent is in the list too: an instance may have children.
func roots(all []process) []process {
	in := map[int]bool{}
	for _, p := range all {
		in[p.pid] = true
	}
	var out []process
	for _, p := range all {
		if !in[parent(p.pid)] {
			out = append(out, p)
		}
	}
	return out
}

func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	var state string
	var ppid int
	fmt.Sscan(rest, &state, &ppid)
	return ppid
}

// gone returns an error while the process exists.
func gone(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || strings.Contains(string(stat), ") Z ") {
		return nil
	}
	return fmt.Errorf("%d still runs", pid)
}
