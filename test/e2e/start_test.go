//go:build e2e

package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A service has nothing of the shell that Baetyl was started from: no open file, ignored signal, umask or
// terminal. What people read has the modes of the documents, whatever the umask is.
func TestCleanStart(t *testing.T) {
	nativeOnly(t, "the docker daemon starts containers")
	t.Parallel()
	s := newSystem(t).withoutTimer().withProbe()
	const shell = `trap "" PIPE HUP INT USR1; umask 077; exec 9</etc/hostname 8>>"$0"; exec "$1" start`
	s.startAs("sh", "-c", shell, s.path("held"), s.path("bin/baetyl"))
	s.waitHub()
	for _, service := range []string{"probe", "localhub", "timer", "function-manager"} {
		pid := s.one(service).pid
		proc := fmt.Sprintf("/proc/%d/", pid)
		fds, err := filepath.Glob(proc + "fd/*")
		must(t, err)
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); to == "/etc/hostname" || to == s.path("held") || to == s.path("console.log") ||
				strings.HasSuffix(to, masterapi.OTALog) || strings.HasPrefix(to, "/dev/tty") {
				t.Errorf("%s has %s open", service, to)
			}
		}
		status := fields(t, proc+"status")
		if status["Umask"] != "0022" {
			t.Errorf("%s has umask %s", service, status["Umask"])
		}
		if stat, err := os.ReadFile(proc + "stat"); err == nil {
			_, rest, _ := strings.Cut(string(stat), ") ")
			if f := strings.Fields(rest); len(f) > 5 && f[4] != "0" { // state, parent, group, session, terminal
				t.Errorf("%s has the terminal %s", service, f[4])
			}
		}
		const none = "0000000000000000"
		if service != "probe" { // the others catch and ignore what they want, and open sockets
			continue
		}
		if status["SigIgn"] != none || status["SigBlk"] != none || len(fds) != 3 {
			t.Errorf("%s ignores %s, blocks %s, and has %d files open", service, status["SigIgn"], status["SigBlk"], len(fds))
		}
	}
	for name, want := range map[string]fs.FileMode{
		"var/log/baetyl":                0o755,
		"var/log/baetyl/baetyl.log":     0o640,
		"var/log/baetyl/services":       0o755,
		"var/run/baetyl.sock":           0o666,
		"var/run":                       0o755,
		masterapi.AdminSocket:           0o660,
		"var/run/baetyl/instances.json": 0o600,
	} {
		info, err := os.Stat(s.path(name))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, expected %v", name, got, want)
		}
	}
	s.routes()
}

// fields are the lines `name: value` of a file of /proc.
func fields(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	out := map[string]string{}
	for _, line := range strings.Split(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// `baetyl start` of a plain user runs the example; what services do not get then is named in a line.
func TestPlainUser(t *testing.T) {
	nativeOnly(t, "the docker daemon is for root")
	t.Parallel()
	setpriv := requires.Command(t, "setpriv", "apt-get install util-linux")
	id := makeUser(t)
	s := newSystemIn(t, os.TempDir()).withoutTimer() // the checkout may lie in a folder that this user may not enter
	// Packages that are hard links to the installed ones stay root's.
	const own = `find "$0" \( -type d -o -type f -links 1 \) -exec chown -h "$1:$1" {} +`
	if out, err := exec.Command("sh", "-c", own, s.dir, id).CombinedOutput(); err != nil {
		t.Fatalf("give %s away: %v\n%s", s.dir, err, out)
	}
	s.startAs(setpriv, "--reuid="+id, "--regid="+id, "--clear-groups", s.path("bin/baetyl"), "start")
	s.waitHub()
	s.routes()
	// The Python of this machine may be one that only root sees; Debian's node is for all.
	sub := s.subscribe("t/#")
	s.logged("msg=connected", "clientid=func-sql-filter-1")
	s.publish("t", `{"id":2}`)
	sub.wait("t/sqlfilter", `"id":2`)
	for _, service := range []string{"localhub", "timer", "function-manager"} {
		if uid := fields(t, fmt.Sprintf("/proc/%d/status", s.one(service).pid))["Uid"]; !strings.HasPrefix(uid, id+"\t") {
			t.Errorf("%s runs as %s, and not as %s", service, uid, id)
		}
	}
	s.logged("this host does not give services all that keeps them apart", "root")
	if code := s.interrupt(); code != 0 {
		t.Errorf("the keeper ended with exit code %d", code)
	}
}

// makeUser adds a user to this machine until the test ends, and returns its id.
func makeUser(t *testing.T) string {
	t.Helper()
	add := requires.Command(t, "useradd", "apt-get install passwd, run as root")
	if os.Getuid() != 0 {
		requires.Missing(t, "root", "run as root")
	}
	name := "baetyl-e2e-" + strconv.Itoa(os.Getpid())
	if out, err := exec.Command(add, "--system", "--user-group", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd %s: %v\n%s", name, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			t.Errorf("userdel %s: %v\n%s", name, err, out)
		}
	})
	u, err := user.Lookup(name)
	must(t, err)
	return u.Uid
}

// An installation in a folder that only root may enter works, though no service runs as root. The interpreters of
// functions may lie in such a folder too, as those of pyenv do.
func TestBelowAFolderOfRoot(t *testing.T) {
	nativeOnly(t, "the docker daemon mounts folders")
	t.Parallel()
	base := filepath.Join(root, "output", "e", "private")
	must(t, os.MkdirAll(base, 0o700))
	t.Cleanup(func() { os.Remove(base) })
	s := newSystemIn(t, base)
	answering(t)
	s.replace(timerFile, "interval: 10s", "interval: 200ms")
	s.start()
	s.answers()
	s.eventually("no process runs as root", func() error { // one does for a moment, before it becomes the service
		for _, p := range s.processes() {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
			if err == nil && strings.Contains(string(status), "\nUid:\t0\t") {
				return fmt.Errorf("%s (%s) does", p.service, p.name)
			}
		}
		return nil
	})
}

// What `ps` shows: the keeper, the master, and services by name.
func TestNamesOfProcesses(t *testing.T) {
	nativeOnly(t, "docker ps shows containers")
	t.Parallel()
	s := newSystem(t).withoutTimer().start()
	for pid, want := range map[int]string{
		s.cmd.Process.Pid:     s.path("bin/baetyl"),
		s.master():            keeper.MasterName,
		s.one("localhub").pid: "localhub",
		s.one("timer").pid:    "timer",
	} {
		s.eventually("the name of "+want, func() error { // it is the master's for a moment, before it becomes the service
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			must(t, err)
			if name, _, _ := strings.Cut(string(args), "\x00"); name != want {
				return fmt.Errorf("process %d is called %q", pid, name)
			}
			return nil
		})
	}
}
