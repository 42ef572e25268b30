//go:build linux

package attack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// verbs take what they are tried on, and return what they found.
var verbs = map[string]func(on string) (string, error){
	// Files: a path.
	"read":    func(path string) (string, error) { data, err := os.ReadFile(path); return string(data), err },
	"list":    list,
	"append":  func(path string) (string, error) { return "", openAndClose(path, unix.O_WRONLY|unix.O_APPEND) },
	"create":  create,
	"remove":  func(path string) (string, error) { return "", os.Remove(path) },
	"chmod":   func(path string) (string, error) { return "", os.Chmod(path, 0o777) },
	"connect": connect,
	// Mounts: where.
	"mount": func(path string) (string, error) { return "", unix.Mount("tmpfs", path, "tmpfs", 0, "size=4k") },
	"remount": func(path string) (string, error) {
		return "", unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, "")
	},
	"unmount": func(path string) (string, error) { return "", unix.Unmount(path, unix.MNT_DETACH) },
	// Other processes: a process id.
	"signal": func(pid string) (string, error) { return "", unix.Kill(number(pid), unix.SIGCONT) },
	"trace":  trace,
	"environ": func(pid string) (string, error) {
		data, err := os.ReadFile("/proc/" + pid + "/environ")
		return string(data), err
	},
	"memory":    func(pid string) (string, error) { return "", openAndClose("/proc/"+pid+"/mem", unix.O_RDWR) },
	"root":      func(pid string) (string, error) { return list("/proc/" + pid + "/root/") },
	"enter":     enter,
	"processes": processes,
	// Rights.
	"user":  func(id string) (string, error) { return "", syscall.Setresuid(number(id), number(id), number(id)) },
	"group": func(id string) (string, error) { return "", syscall.Setgroups([]int{number(id)}) },
	"run": func(program string) (string, error) {
		out, err := exec.Command(program).Output()
		return string(out), err
	},
	"device":  device,
	"listen":  listen,
	"packets": packets,
	"files":   files,
	"cgroup":  cgroup,
	// All there is: how much.
	"fork":     fork,
	"allocate": allocate,
	"fill":     fill,
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("attack: " + s + " is no number") // a mistake in a test
	}
	return n
}

func openAndClose(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func list(path string) (string, error) {
	all, err := os.ReadDir(path)
	names := make([]string, 0, len(all))
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " "), err
}

func create(path string) (string, error) {
	if err := os.WriteFile(path, []byte("attack"), 0o644); err != nil {
		return "", err
	}
	return "", nil
}

// connect opens a stream to a unix socket.
func connect(path string) (string, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return "", err
	}
	return "", c.Close()
}

// trace stops a process, from a thread that sees it through.
func trace(pid string) (string, error) {
	if err := unix.PtraceSeize(number(pid)); err != nil {
		return "", err
	}
	return "", unix.PtraceDetach(number(pid))
}

// enter takes over the mounts of a process.
func enter(pid string) (string, error) {
	fd, err := unix.Open("/proc/"+pid+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // which setns wants
		return "", err
	}
	return "", unix.Setns(fd, unix.CLONE_NEWNS)
}

// processes looks for those of other users; on is not used.
func processes(string) (string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return "", err
	}
	var found []string
	for _, dir := range dirs {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err == nil && int(st.Uid) != os.Getuid() {
			found = append(found, filepath.Base(dir))
		}
	}
	if len(found) == 0 {
		return "", errors.New("nobody else is seen")
	}
	return strings.Join(found, " "), nil
}

// device makes the file of a device, /dev/mem, at path.
func device(path string) (string, error) {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))); err != nil {
		return "", err
	}
	return "", os.Remove(path)
}

func listen(port string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return "", err
	}
	return "", l.Close()
}

// packets reads the traffic of others; on is not used.
func packets(string) (string, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	return "", unix.Close(fd)
}

// files raises the limit of open files.
func files(n string) (string, error) {
	limit := uint64(number(n))
	return "", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit})
}

// cgroup leaves the own cgroup for the one at path, a folder.
func cgroup(path string) (string, error) {
	f, err := os.OpenFile(filepath.Join(path, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = fmt.Fprint(f, os.Getpid())
	return "", err
}
