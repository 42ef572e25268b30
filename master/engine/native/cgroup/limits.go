package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

const (
	period   = 100_000 // microseconds that a share of processor time is for, as docker has it
	minQuota = 1_000   // microseconds; the kernel takes no less

	maxMemory = 1 << 61 // bytes; twice of it is a number still
)

// Problems names what of r cannot hold on this host, before anything is made.
func (t *Tree) Problems(r app.Resources) (out []string) {
	for _, c := range []struct {
		wanted           bool
		controller, what string
	}{
		{r.CPU.Cpus > 0, cpu, "resources.cpu.cpus"},
		{r.CPU.SetCPUs != "", cpuset, "resources.cpu.setcpus"},
		{r.Memory.Limit > 0, memory, "resources.memory.limit"},
		{r.Pids.Limit > 0, pids, "resources.pids.limit"},
	} {
		if c.wanted && !t.can(c.controller) {
			out = append(out, fmt.Sprintf("%s does not hold: %s", c.what, t.missing(c.controller)))
		}
	}
	switch {
	case r.Memory.Swap <= 0:
	case r.Memory.Limit <= 0:
		out = append(out, "resources.memory.swap does not hold: it needs resources.memory.limit beside it")
	case r.Memory.Swap < r.Memory.Limit:
		const text = "resources.memory.swap is memory and swap together: %s is less than memory.limit, %s; no swap is used"
		out = append(out, fmt.Sprintf(text, r.Memory.Swap, r.Memory.Limit))
	}
	return out
}

func (t *Tree) can(controller string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.all() {
		for _, c := range p.controllers {
			if c == controller {
				return true
			}
		}
	}
	return false
}

func (t *Tree) missing(controller string) string {
	text := "this host has no cgroup controller " + controller
	if t.v2 != nil && len(t.v1) == 0 && t.v2.base != t.v2.mount {
		text = fmt.Sprintf("%s has no cgroup controller %s; write Delegate=yes in its unit", t.v2.base, controller)
	}
	if controller == memory {
		text += "; on a Raspberry Pi, add cgroup_enable=memory to /boot/cmdline.txt (/boot/firmware/cmdline.txt) and reboot"
	}
	return text
}

// limit writes the limits of r, as far as there are controllers, and returns what did not work.
func (g *Group) limit(t *Tree, r app.Resources) (warnings []string) {
	set := func(what, controller string, values ...setting) {
		d, ok := g.with(controller)
		if !ok {
			return // Problems says so
		}
		for _, v := range values {
			name, value := v.v1, v.v1Value
			if d.v2 {
				name, value = v.v2, v.v2Value
			}
			if name == "" {
				continue
			}
			if err := g.write(filepath.Join(d.path, name), value); err != nil {
				warnings = append(warnings, fmt.Sprintf("%s does not hold: %s", what, explain(name, err)))
				return
			}
		}
	}
	if r.CPU.Cpus > 0 {
		quota := max(int64(r.CPU.Cpus*period), minQuota)
		if int64(r.CPU.Cpus*period) < minQuota {
			warnings = append(warnings, fmt.Sprintf("resources.cpu.cpus: %v is less than 0.01, which is used", r.CPU.Cpus))
		}
		text := strconv.FormatInt(quota, 10)
		set("resources.cpu.cpus", cpu,
			setting{"cpu.max", fmt.Sprintf("%s %d", text, period), "cpu.cfs_period_us", strconv.Itoa(period)},
			setting{v1: "cpu.cfs_quota_us", v1Value: text})
	}
	if r.CPU.SetCPUs != "" {
		n := len(warnings)
		set("resources.cpu.setcpus", cpuset, both("cpuset.cpus", r.CPU.SetCPUs))
		if w := g.cores(r.CPU.SetCPUs); w != "" {
			warnings = append(warnings[:n], w) // in place of the kernel's word for it
		}
	}
	if limit := min(int64(r.Memory.Limit), maxMemory); limit > 0 {
		set("resources.memory.limit", memory, setting{"memory.max", size(limit), "memory.limit_in_bytes", size(limit)})
		swap := limit // as docker: without a word on swap as much of it as of memory
		if r.Memory.Swap > 0 {
			swap = max(int64(r.Memory.Swap)-limit, 0)
		}
		n := len(warnings)
		set("resources.memory.swap", memory,
			setting{"memory.swap.max", size(swap), "memory.memsw.limit_in_bytes", size(limit + swap)})
		if len(warnings) > n && r.Memory.Swap <= 0 {
			warnings = warnings[:n] // it was not asked for
		}
	}
	if r.Pids.Limit > 0 {
		set("resources.pids.limit", pids, both("pids.max", size(r.Pids.Limit)))
	}
	return warnings
}

// setting is a file to write, in the words of either version; without a name nothing is written.
type setting struct{ v2, v2Value, v1, v1Value string }

func both(name, value string) setting { return setting{name, value, name, value} }

func size(n int64) string { return strconv.FormatInt(n, 10) }

// explain names the reason of what went wrong with the file called name.
func explain(name string, err error) string {
	if strings.Contains(name, "swap") || strings.Contains(name, "memsw") {
		if errors.Is(err, fs.ErrNotExist) {
			return "this kernel does not count swap; add swapaccount=1 to its command line and reboot"
		}
	}
	return err.Error()
}

// cores says which of the cores in want the group does not have. A kernel of v2 uses others in their place.
func (g *Group) cores(want string) string {
	d, ok := g.with(cpuset)
	if !ok {
		return ""
	}
	name := "cpuset.effective_cpus"
	if d.v2 {
		name = "cpuset.cpus.effective"
	}
	text, err := os.ReadFile(filepath.Join(d.path, name))
	if err != nil {
		return "" // an older kernel, which refuses to write cores that there are not
	}
	has := parseCores(string(text))
	for c := range parseCores(want) {
		if !has[c] {
			const form = "resources.cpu.setcpus: not all of %s can be used; it runs on %s"
			return fmt.Sprintf(form, want, strings.TrimSpace(string(text)))
		}
	}
	return ""
}

const maxCores = 1 << 13 // that a kernel is built for

// parseCores reads a list such as 0-2,4; what is no list has no cores.
func parseCores(text string) map[int]bool {
	out := map[int]bool{}
	for _, part := range strings.Split(strings.TrimSpace(text), ",") {
		a, b, span := strings.Cut(part, "-")
		first, err := strconv.Atoi(a)
		last := first
		if span && err == nil {
			last, err = strconv.Atoi(b)
		}
		if err != nil || first < 0 {
			continue
		}
		for c := first; c <= min(last, maxCores); c++ {
			out[c] = true
		}
	}
	return out
}
