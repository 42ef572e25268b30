package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	measured "github.com/baetyl/baetyl/utils/host"
)

// host are facts of the machine, where it tells them.
func host() (items []item) {
	for _, path := range []string{
		"/etc/os-release", "/proc/version", "/proc/cmdline", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/swaps",
		"/proc/mounts", "/proc/vmstat", "/proc/cgroups", "/proc/self/cgroup", "/proc/self/limits", "/proc/net/dev",
		"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/unix", "/proc/pressure/memory", "/proc/pressure/io",
		"/proc/pressure/cpu", "/proc/sys/fs/file-nr",
	} {
		if _, err := os.Stat(path); err == nil {
			items = append(items, file("host"+path, path, false))
		}
	}
	return append(items,
		item{name: "host/processes.txt", from: "/proc", read: processes},
		item{name: "host/disks.txt", from: "statfs", read: disks},
		item{name: "host/kernel.log", from: "/dev/kmsg", read: kernelLog},
		command("host/journal.txt", "journalctl", "--no-pager", "-n", "2000", "-u", "baetyl"),
	)
}

// processes lists what runs: number, parent, user, memory in KB, arguments.
func processes(context.Context) ([]byte, int64, error) {
	var out bytes.Buffer
	entries, err := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		status, _, err := tail(filepath.Join("/proc", e.Name(), "status"), 16<<10)
		if err != nil {
			continue // it has ended
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			value, _, _ = strings.Cut(strings.TrimSpace(value), "\t")
			fields[key] = value
		}
		args, _, _ := tail(filepath.Join("/proc", e.Name(), "cmdline"), 4<<10) // a thread of the kernel has none
		line := strings.TrimSpace(string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
		if line == "" {
			line = "[" + fields["Name"] + "]"
		}
		fmt.Fprintf(&out, "%s %s %s %s %s\n", e.Name(), fields["PPid"], fields["Uid"], fields["VmRSS"],
			strings.NewReplacer("\n", " ", "\r", " ").Replace(line))
	}
	return out.Bytes(), int64(out.Len()), err
}

// disks says how full the file systems are.
func disks(context.Context) ([]byte, int64, error) {
	var out bytes.Buffer
	mounts, _, err := tail("/proc/mounts", 1<<20)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		local := len(f) > 2 && (strings.HasPrefix(f[0], "/dev/") || f[2] == "tmpfs" || f[2] == "overlay")
		if !local { // one over a network may hang
			continue
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(f[1], &st); err != nil {
			continue
		}
		fmt.Fprintf(&out, "%s %s %s: blocks of %d: %d, %d free; inodes %d, %d free\n", f[0], f[1], f[2], st.Bsize, st.Blocks,
			st.Bavail, st.Files, st.Ffree)
	}
	return out.Bytes(), int64(out.Len()), err
}

// kernelLog is the end of what the kernel has said.
func kernelLog(context.Context) ([]byte, int64, error) {
	data, err := measured.KernelLog(1 << 20)
	return data, int64(len(data)), err
}

// command is an item with what a program says; one that is not there is none.
func command(name, program string, args ...string) item {
	return item{name: name, from: program, read: func(ctx context.Context) ([]byte, int64, error) {
		path, err := exec.LookPath(program)
		if err != nil {
			return nil, 0, err
		}
		c := exec.CommandContext(ctx, path, args...)
		pipe, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			return nil, 0, err
		}
		data, err := io.ReadAll(io.LimitReader(pipe, maxItem))
		_ = pipe.Close()
		return data, int64(len(data)), errors.Join(err, c.Wait())
	}}
}
