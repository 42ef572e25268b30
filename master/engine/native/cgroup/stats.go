package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/keeper/members"
)

// Stats is what a group uses. What the host does not count is zero.
type Stats struct {
	CPU    time.Duration // processor time since the group was made
	Memory uint64        // bytes, without files that the kernel drops when memory is short, as docker shows it
	Limit  uint64        // of memory; 0: none
	Swap   uint64        // bytes
	PIDs   int           // processes and threads; where the host does not count those, processes
}

// Stats measures. It never fails: the group may end meanwhile.
func (g *Group) Stats() (s Stats) {
	g.cpu(&s)
	g.memory(&s)
	if d, ok := g.with(pids); ok {
		s.PIDs = int(number(d.path, "pids.current"))
		return s
	}
	list, _ := g.PIDs()
	s.PIDs = len(list)
	return s
}

func (g *Group) cpu(s *Stats) {
	if d, ok := g.with(cpuacct); ok {
		s.CPU = time.Duration(number(d.path, "cpuacct.usage"))
		return
	}
	if at := g.V2(); at != "" { // counted without any controller
		s.CPU = time.Duration(keyed(at, "cpu.stat")["usage_usec"]) * time.Microsecond
	}
}

func (g *Group) memory(s *Stats) {
	d, ok := g.with(memory)
	if !ok {
		return
	}
	stat := keyed(d.path, "memory.stat")
	var cache uint64
	if d.v2 {
		s.Memory, s.Limit, cache = number(d.path, "memory.current"), number(d.path, "memory.max"), stat["inactive_file"]
		s.Swap = number(d.path, "memory.swap.current")
	} else {
		s.Memory, s.Limit = number(d.path, "memory.usage_in_bytes"), number(d.path, "memory.limit_in_bytes")
		s.Swap, cache = stat["total_swap"], stat["total_inactive_file"]
		if s.Limit >= math.MaxInt64&^0xffff { // how v1 says that there is none, whatever the size of a page
			s.Limit = 0
		}
	}
	if cache < s.Memory {
		s.Memory -= cache
	}
}

// OOM counts the processes of the group that the kernel has killed for their memory. 0 where it does not count them
// (v1 before Linux 4.13).
func (g *Group) OOM() (n int) {
	d, ok := g.with(memory)
	if !ok {
		return 0
	}
	if d.v2 {
		return int(keyed(d.path, "memory.events")["oom_kill"]) // nested groups included
	}
	for _, path := range members.Nested(d.path) {
		n += int(keyed(path, "memory.oom_control")["oom_kill"])
	}
	return n
}

// number reads a file with one number; "max", and what is none, is 0.
func number(dir, name string) uint64 {
	text, _ := os.ReadFile(filepath.Join(dir, name))
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// keyed reads a file with lines of a name and a number.
func keyed(dir, name string) map[string]uint64 {
	text, _ := os.ReadFile(filepath.Join(dir, name))
	return parseKeyed(string(text))
}

func parseKeyed(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
			out[f[0]] = n
		}
	}
	return out
}
