//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// facts are what is seen of one process.
type facts struct {
	Name, Module string
	Dir          string // working directory of the master
	UID          int
	Groups       int // beside its own
	Effective    []string
	Bounding     []string
	NoNewPrivs   bool
	Seccomp      bool
	Token        bool
	Rights       []string
	Namespaces   []string // that are not the master's
	Cgroup       bool     // one of its own
	Limits       []string
	Shared       []string // descriptors that keeper or master have too
	Mounts       []mount  // that the master has not
	HidesProc    bool
	Foreign      []string // what it sees in the master's folders beside its mounts
	Writes       []string // folders of the host that everybody may write to, and it too
	Listens      []string
	Peers        []string
	Warnings     []string
	Container    *container
	inodes       map[string]string // of its sockets and pipes, with the number of the descriptor
}

// mount is one line of mountinfo.
type mount struct {
	Path, Type string
	ReadOnly   bool
	Options    string
}

// reference is what processes are compared with.
type reference struct {
	dir            string // working directory of the master
	keeper, master int
}

// observe reads /proc of a process. What cannot be read counts as not there: the process was there a moment ago.
func (r reference) observe(name string, pid int) facts {
	s := status(read(pid, "status"))
	f := facts{
		Name: name, Dir: r.dir,
		Groups:     len(strings.Fields(s["Groups"])),
		Effective:  capabilities(s["CapEff"]),
		Bounding:   capabilities(s["CapBnd"]),
		NoNewPrivs: s["NoNewPrivs"] == "1",
		Seccomp:    s["Seccomp"] == "2",
		Token:      strings.Contains("\x00"+read(pid, "environ"), "\x00"+masterapi.EnvServiceToken+"="),
		inodes:     inodes(pid),
	}
	_, _ = fmt.Sscan(s["Uid"], &f.UID)
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		if link(pid, "ns/"+kind) != link(r.master, "ns/"+kind) {
			f.Namespaces = append(f.Namespaces, kind)
		}
	}
	f.Cgroup = read(pid, "cgroup") != read(r.master, "cgroup")
	f.Limits = limits(read(pid, "cgroup"))
	if pid != r.keeper && pid != r.master {
		for _, other := range []int{r.keeper, r.master} {
			for inode := range inodes(other) {
				if fd, ok := f.inodes[inode]; ok && !slices.Contains(f.Shared, fd) {
					f.Shared = append(f.Shared, fd)
				}
			}
		}
		slices.Sort(f.Shared)
		known := map[string]bool{}
		for _, m := range mounts(read(r.master, "mountinfo")) {
			known[m.Path+m.Options] = true
		}
		for _, m := range mounts(read(pid, "mountinfo")) {
			f.HidesProc = f.HidesProc || m.Path == "/proc" && strings.Contains(m.Options, "hidepid")
			// Of other programs, which come and go meanwhile: file systems of containers.
			if !known[m.Path+m.Options] && m.Type != "nsfs" && m.Type != "overlay" {
				f.Mounts = append(f.Mounts, m)
			}
		}
	}
	f.Writes = writable(pid, f.UID, f.UID != 0 && slices.Contains(f.Effective, "DAC_OVERRIDE"))
	f.Foreign = r.foreign(pid, f.Mounts)
	f.listen(pid)
	return f
}

// masters are the folders of the master with what is not for every service.
var masters = []string{"etc/baetyl", "var/db/baetyl", "var/run/baetyl", "var/log/baetyl"}

// foreign lists what a process sees in the folders of the master and has not got by a mount.
func (r reference) foreign(pid int, own []mount) (out []string) {
	for _, folder := range masters {
		entries, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "root", r.dir, folder))
		for _, d := range entries {
			p := filepath.Join(r.dir, folder, d.Name())
			leads := func(m mount) bool { return strings.HasPrefix(m.Path+"/", p+"/") }
			if !slices.ContainsFunc(own, leads) {
				out = append(out, filepath.Join(folder, d.Name()))
			}
		}
	}
	return out
}

func read(pid int, name string) string {
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	return string(data)
}

func link(pid int, name string) string {
	to, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), name))
	return to
}

// status reads /proc/<pid>/status.
func status(text string) map[string]string {
	out := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok {
			out[key] = strings.TrimSpace(value)
		}
	}
	return out
}

// names of capabilities, by number, as far as the table names them; those of others are numbers.
var names = []string{"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"}

// capabilities are the names of the bits of a hexadecimal number.
func capabilities(text string) (out []string) {
	bits, _ := strconv.ParseUint(text, 16, 64)
	for i := range 64 {
		switch {
		case bits&(1<<i) == 0:
		case i < len(names):
			out = append(out, names[i])
		default:
			out = append(out, strconv.Itoa(i))
		}
	}
	return out
}

// mounts reads /proc/<pid>/mountinfo.
func mounts(text string) (out []mount) {
	for _, line := range strings.Split(text, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		out = append(out, mount{Path: left[4], Type: right[0],
			ReadOnly: slices.Contains(strings.Split(left[5], ","), "ro"), Options: left[5] + " " + right[2]})
	}
	return out
}

// limitFiles are those of cgroup v2 and v1, with the controller that has them.
var limitFiles = []struct{ controller, file, what string }{
	{"", "memory.max", "memory"}, {"memory", "memory.limit_in_bytes", "memory"},
	{"", "pids.max", "processes"}, {"pids", "pids.max", "processes"},
	{"", "cpu.max", "cpu"}, {"cpu", "cpu.cfs_quota_us", "cpu"},
}

// unlimited is what v1 writes for no limit of memory.
const unlimited = 1 << 60

// limits reads those of the cgroups that /proc/<pid>/cgroup names.
func limits(cgroups string) (out []string) {
	for _, line := range strings.Split(cgroups, "\n") {
		part := strings.SplitN(line, ":", 3)
		if len(part) < 3 {
			continue
		}
		for _, l := range limitFiles {
			if !slices.Contains(strings.Split(part[1], ","), l.controller) { // v2 has no name here
				continue
			}
			data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", l.controller, part[2], l.file))
			value := string(bytes.TrimSpace(data))
			n, notNumber := strconv.ParseInt(value, 10, 64)
			if err != nil || strings.HasPrefix(value, "max") || notNumber == nil && (n < 0 || n > unlimited) {
				continue
			}
			out = append(out, l.what+" "+value)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// children returns the first child of pid whose name begins with name.
func children(pid int, name string) (int, error) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		n, _ := strconv.Atoi(filepath.Base(p))
		if status(read(n, "status"))["PPid"] == strconv.Itoa(pid) && strings.HasPrefix(read(n, "cmdline"), name) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("process %d has no child %s", pid, name)
}
