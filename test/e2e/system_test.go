//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// waitLimit is how long a test waits for anything: a loaded machine with two cores starts Python slowly.
const waitLimit = 2 * time.Minute

// system is one installed example in a folder of its own.
type system struct {
	t     *testing.T
	dir   string
	port  map[string]string // of the example (1883, 8883, 8080, 8884) ─► of this copy
	cmd   *exec.Cmd
	ended chan struct{} // closed when the master has ended
}

// besideOthers runs the test in parallel with others, for tests that wait most of the time. In docker mode each runs
// alone, since all systems have the same names of containers.
func besideOthers(t *testing.T) {
	if mode == masterapi.ModeNative {
		t.Parallel()
	}
}

// newSystem copies the installed example and gives it free ports. Nothing runs yet.
func newSystem(t *testing.T) *system {
	t.Helper()
	base := filepath.Join(root, "output", "e")
	must(t, os.MkdirAll(base, 0o755))
	return newSystemIn(t, base)
}

// newSystemIn is newSystem in a new folder in base.
func newSystemIn(t *testing.T, base string) *system {
	t.Helper()
	dir, err := os.MkdirTemp(base, "")
	must(t, err)
	must(t, os.Chmod(dir, 0o755)) // as an installed folder is
	copyInstalled(t, dir)
	s := &system{t: t, dir: dir, port: freePorts(t, "1883", "8883", "8080", "8884")}
	t.Cleanup(s.cleanUp)
	confs := []string{filepath.Join(dir, appFile)}
	if mode == masterapi.ModeNative {
		services, err := filepath.Glob(filepath.Join(dir, "var/db/baetyl/*/service.yml"))
		must(t, err)
		confs = append(confs, services...)
	}
	for _, conf := range confs {
		s.edit(strings.TrimPrefix(conf, dir+"/"), s.adapt)
	}
	return s
}

// copyInstalled copies the installed example to dir. The programs and packages are hard links where that is possible: a
// package with its venv is large, and nothing writes into it. Files of a volume that is given to a service must not be,
// since the master leaves files alone that have a second name.
func copyInstalled(t *testing.T, dir string) {
	t.Helper()
	const script = `{ cp -al "$1/." "$2" 2>/dev/null || cp -a "$1/." "$2"; } && cd "$1" && find . -type f \
		! -path './bin/*' ! -path './var/db/baetyl/baetyl-*' -exec cp -p --parents --remove-destination -t "$2" {} +`
	if out, err := exec.Command("sh", "-c", script, "sh", prefix, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", prefix, err, out)
	}
}

// freePorts finds a free port for each name. They are held until all are found, so that they differ.
func freePorts(t *testing.T, names ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		_, out[name], err = net.SplitHostPort(l.Addr().String())
		must(t, err)
	}
	return out
}

// adapt changes a file of the documents for this system: its ports, its mode, and for the hub and the timer the right
// to inspect, which the tests use.
func (s *system) adapt(text string) string {
	if mode == masterapi.ModeDocker {
		text = s.inDocker(text)
	} else {
		text = s.ports(text)
	}
	return inspector.ReplaceAllString(text, "$0\n${1}api: [report, inspect]")
}

// inspector is the image of a service that always runs.
var inspector = regexp.MustCompile(`(?m)^( *)image: '?(\S*baetyl-(hub|timer))'?$`)

// ports replaces the ports of the documents by those of this system.
func (s *system) ports(text string) string {
	for name, port := range s.port {
		text = strings.ReplaceAll(text, ":"+name, ":"+port)
	}
	return text
}

func (s *system) path(name string) string { return filepath.Join(s.dir, name) }

func (s *system) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.path(name))
	must(s.t, err)
	return string(data)
}

// write replaces a file by text, adapted to this system. The old file is removed first, because it may be a hard link
// to the installed one.
func (s *system) write(name, text string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(filepath.Dir(s.path(name)), 0o755))
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	must(s.t, os.WriteFile(s.path(name), []byte(s.adapt(text)), 0o644))
}

// edit changes a file. It replaces the file, which may be a hard link to the installed one.
func (s *system) edit(name string, change func(text string) string) {
	s.t.Helper()
	info, err := os.Stat(s.path(name))
	must(s.t, err)
	old := s.read(name)
	text := change(old)
	if err := os.Remove(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
	must(s.t, os.WriteFile(s.path(name), []byte(text), info.Mode()))
}

// replace changes one piece of text of a file, which must be there.
func (s *system) replace(name, old, new string) {
	s.t.Helper()
	s.edit(name, func(text string) string {
		if !strings.Contains(text, s.adapt(old)) {
			s.t.Fatalf("%s does not contain %q", name, old)
		}
		return strings.Replace(text, s.adapt(old), s.adapt(new), 1)
	})
}

const (
	appFile     = "var/db/baetyl/application.yml"
	masterFile  = "etc/baetyl/conf.yml"
	hubFile     = "var/db/baetyl/localhub-conf/service.yml"
	managerFile = "var/db/baetyl/function-manager-conf/service.yml"
	timerFile   = "var/db/baetyl/timer-conf/service.yml"
)

// withoutTimer keeps the timer from publishing during the test.
func (s *system) withoutTimer() *system {
	s.replace(timerFile, "interval: 10s", "interval: 1h")
	return s
}

// withProbe adds a service that always runs, so that there is a token for the API when no other service runs.
func (s *system) withProbe() *system {
	s.edit(appFile, func(text string) string {
		text = strings.Replace(text, "services:\n", `services:
  - name: probe
    image: probe
    replica: 1
    api: [report, inspect]
    mounts:
      - name: probe-bin
        path: lib/baetyl/probe
        readonly: true
`, 1)
		return strings.Replace(text, "volumes:\n", "volumes:\n  - name: probe-bin\n    path: var/db/baetyl/probe\n", 1)
	})
	s.write("var/db/baetyl/probe/package.yml", "entry: run\n")
	s.write("var/db/baetyl/probe/run", "#!/bin/sh\nexec sleep 1000\n")
	must(s.t, os.Chmod(s.path("var/db/baetyl/probe/run"), 0o755))
	return s
}

// start starts the system and waits until the hub listens and the rules of the function manager have subscribed: no
// rule would get a QoS 0 message that is published before.
func (s *system) start() *system {
	s.t.Helper()
	s.startMaster()
	s.waitHub()
	if !strings.Contains(s.read(appFile), "- name: function-manager\n") {
		return s
	}
	for _, line := range strings.Split(s.read(managerFile), "\n") {
		if _, id, ok := strings.Cut(line, "- clientid: "); ok {
			s.logged("msg=connected", "clientid="+id, "rule=")
		}
	}
	return s
}

// startMaster runs `bin/baetyl start` as a shell does: in a process group of its own, which Ctrl-C goes to.
func (s *system) startMaster() {
	s.t.Helper()
	s.startAs(s.path("bin/baetyl"), "start")
}

// startAs starts the system by another command, which runs `bin/baetyl start` as itself.
func (s *system) startAs(name string, args ...string) {
	s.t.Helper()
	console, err := os.OpenFile(s.path("console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(s.t, err)
	defer console.Close()
	s.cmd = exec.Command(name, args...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = console, console
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(s.t, s.cmd.Start())
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) { cmd.Wait(); close(ended) }(s.cmd)
}

func (s *system) waitHub() {
	s.t.Helper()
	s.eventually("the hub answers on "+s.port["1883"], func() error {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port["1883"], time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		// The socket of a hub that was just killed may still accept a connection, so it has to answer CONNECT.
		must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		if _, err := conn.Write([]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")); err != nil {
			return err
		}
		connack := make([]byte, 4)
		_, err = io.ReadFull(conn, connack)
		return err
	})
}

// interrupt is Ctrl-C: SIGINT to the foreground process group. It waits until the keeper has ended and returns its
// exit code.
func (s *system) interrupt() int {
	s.t.Helper()
	return s.stop(-s.cmd.Process.Pid, syscall.SIGINT)
}

// stop sends a signal that stops everything, waits until the keeper has ended and returns its exit code.
func (s *system) stop(pid int, sig syscall.Signal) int {
	s.t.Helper()
	must(s.t, syscall.Kill(pid, sig))
	select {
	case <-s.ended:
	case <-time.After(waitLimit):
		s.t.Fatalf("the keeper has not ended %v after %v", waitLimit, sig)
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *system) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// cleanUp stops what runs, shows the logs of a failed test, and fails one that leaves a process behind.
func (s *system) cleanUp() {
	if s.running() {
		s.interrupt()
	} else if s.cmd != nil {
		s.t.Logf("the master had ended before: %v", s.cmd.ProcessState)
	}
	if s.t.Failed() {
		s.t.Logf("logs of %s:\n%s", s.dir, tail(s.everythingLogged(), 8000))
	}
	for _, p := range s.processes() {
		s.t.Errorf("process %d (%s) outlived the master", p.pid, p.name)
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
	os.RemoveAll(s.dir)
}

// everythingLogged is what a user can read: the console, the log of the master, and those of the services.
func (s *system) everythingLogged() string {
	var b strings.Builder
	filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".log") && !strings.Contains(path, "localhub-data") {
			data, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "--- %s\n%s\n", strings.TrimPrefix(path, s.dir+"/"), data)
		}
		return nil
	})
	return b.String()
}

// eventually polls until check returns nil.
func (s *system) eventually(what string, check func() error) {
	s.t.Helper()
	eventually(s.t, waitLimit, what, check)
}

func eventually(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s; the last error: %v", limit, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + text[len(text)-n:]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
