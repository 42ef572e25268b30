//go:build linux

package keeper_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/keeper"
)

// manager is the socket that systemd listens on. The machine of test/vm has the real one.
type manager struct {
	t    *testing.T
	conn *net.UnixConn

	mu   sync.Mutex
	said []string // lines, and "--" behind each datagram
}

func newManager(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{t: t, conn: conn}
}

func (m *manager) listen() *manager {
	go func() { // ends with the connection
		text := make([]byte, 4096)
		for {
			n, err := m.conn.Read(text)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said = append(append(m.said, strings.Split(string(text[:n]), "\n")...), "--")
			m.mu.Unlock()
		}
	}()
	return m
}

// lines are those that match a pattern.
func (m *manager) lines(pattern string) (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range m.said {
		if regexp.MustCompile(`^(` + pattern + `)$`).MatchString(line) {
			out = append(out, line)
		}
	}
	return out
}

// hears waits until a line has come n times.
func (m *manager) hears(n int, pattern string) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%q has come %d times", pattern, n), func() bool { return len(m.lines(pattern)) >= n })
}

// notified starts a keeper that has a manager, whose watchdog has this many microseconds.
func notified(t *testing.T, m *manager, usec string, prepare ...func(*cmd)) *rig {
	t.Helper()
	r := newRig(t)
	r.file("unstarted", "")
	return r.run(append(prepare, func(c *cmd) {
		address := m.conn.LocalAddr().String()
		c.Env = append(c.Env, "NOTIFY_SOCKET="+address, "WATCHDOG_USEC="+usec)
	})...)
}

// Ready is when the application has been started, and once: what a master goes through does not change it.
func TestReady(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify")).listen()
	r := notified(t, m, "2000000")
	p := r.start("a", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
	m.hears(2, "WATCHDOG=1")
	m.hears(1, "STATUS=2 services READY=1 .2J, 1 failing") // one line, and nothing for a terminal
	if got := m.lines("READY=1"); len(got) > 0 {
		t.Errorf("ready before the application was started: %q", m.said)
	}
	_ = os.Remove(r.dir + "/unstarted")
	m.hears(1, "READY=1")

	pid := r.master(0)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	m.hears(1, "STATUS=the master has crashed .*")
	pid = r.master(pid)
	m.hears(2, "STATUS=2 services .*")
	install(t, r.prog+".new", "one")
	r.file("candidate", "mute")
	r.must(command{Op: "try", Trial: trialOf(r)})
	m.hears(1, "STATUS=a new master is tried")
	r.says("the candidate is rejected")
	r.master(pid)
	m.hears(3, "STATUS=2 services .*")
	if got := m.lines("READY=1|STOPPING=1|RELOADING=1|EXTEND.*"); len(got) != 1 {
		t.Errorf("%q", got)
	}

	lines := r.must(command{Op: "environment"}).Lines
	if slices.ContainsFunc(lines, func(kv string) bool {
		return strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "WATCHDOG_")
	}) {
		t.Errorf("the master has what is the keeper's: %q", lines)
	}
	r.signal(syscall.SIGTERM)
	if status := r.wait(); status != 0 || lives(p.PID) {
		t.Errorf("status %d", status)
	}
	m.hears(1, "STOPPING=1")
	m.hears(1, "STATUS=stopping: SIGTERM")
	m.hears(1, "EXTEND_TIMEOUT_USEC=60000000")
}

// A reload is told before it begins and when it is over, also where no master reads anything.
func TestReloadIsTold(t *testing.T) {
	m := newManager(t, "@baetyl-test-"+filepath.Base(t.TempDir())+fmt.Sprint(os.Getpid())).listen() // an abstract address
	r := notified(t, m, "", func(c *cmd) { c.Env = append(c.Env, "RIG_ALIVE=2s") })
	r.start("a", "sleep 100")
	_ = os.Remove(r.dir + "/unstarted")
	m.hears(1, "READY=1")
	var before unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
	for n := range 3 {
		r.signal(syscall.SIGHUP)
		m.hears(n+2, "READY=1")
	}
	for _, line := range m.lines("MONOTONIC_USEC=.*") {
		var usec int64
		_, _ = fmt.Sscanf(line, "MONOTONIC_USEC=%d", &usec)
		if usec < before.Nano()/1000 || usec > before.Nano()/1000+3600e6 {
			t.Errorf("%s, but it was %d", line, before.Nano()/1000)
		}
	}
	if got := m.lines("READY=1|RELOADING=1"); !slices.Equal(got, []string{
		"READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1",
	}) {
		t.Errorf("%q", got)
	}
	r.file("behaviour", "unread")
	pid := r.master(0)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	pid = r.master(pid)
	r.signal(syscall.SIGHUP)
	m.hears(5, "READY=1") // after as long as a master may be silent
	r.signal(syscall.SIGHUP)
	m.hears(5, "RELOADING=1")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	m.hears(6, "READY=1") // the next one reads it
	if got := m.lines("WATCHDOG.*"); len(got) > 0 {
		t.Errorf("nobody looks for %q", got)
	}
}

// The watchdog is fed while a master hangs, which is replaced alone; it is off while the keeper is replaced, since the
// next one may be of a version that does not know it.
func TestWatchdog(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify")).listen()
	r := newRig(t)
	r.file("behaviour", "hang")
	r.run(func(c *cmd) {
		c.Env = append(c.Env, "RIG_ALIVE=1s", "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_USEC=800000")
	})
	r.says("and is killed")
	m.hears(5, "WATCHDOG=1")
	_ = os.Remove(r.dir + "/behaviour")
	pid := r.master(0)
	m.hears(1, "READY=1")

	install(t, r.prog+".new", "two")
	r.must(command{Op: "try", Trial: trialOf(r)})
	r.noted("ready: <nil>")
	r.says("the keeper was replaced")
	r.master(pid)
	n := len(m.lines("WATCHDOG=1"))
	m.hears(n+3, "WATCHDOG=1")
	m.hears(2, "READY=1") // again: a reload may have been going on
	if got := m.lines("WATCHDOG_USEC=.*"); !slices.Equal(got, []string{
		"WATCHDOG_USEC=800000", "WATCHDOG_USEC=0", "WATCHDOG_USEC=800000",
	}) {
		t.Errorf("%q", got)
	}
	if got := m.lines("STOPPING=1"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	r.must(command{Op: "stop"})
	if status := r.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	m.hears(1, "STATUS=stopping: by the test")
}

// A manager that does not read, or is not there, holds up nothing, and learns the newest when it reads.
func TestManagerThatDoesNotRead(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	r := notified(t, m, "4000")
	_ = os.Remove(r.dir + "/unstarted")
	r.says("tell the manager of services")
	p := r.start("a", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
	m.listen()
	m.hears(1, "READY=1")
	r.signal(syscall.SIGTERM)
	if status := r.wait(); status != 0 || lives(p.PID) {
		t.Errorf("status %d", status)
	}

	for _, address := range []string{"/nowhere", "vsock:2:1", "relative", strings.Repeat("/long", 50)} {
		r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "NOTIFY_SOCKET="+address, "WATCHDOG_USEC=20000") })
		r.start("a", "true")
		r.must(command{Op: "stop"})
		if status := r.wait(); status != 0 || strings.Count(r.text(), "tell the manager of services") != 1 {
			t.Errorf("status %d:\n%s", status, r.text())
		}
	}
}

// Who else has variables of a watchdog: a process that the manager does not look at gives no signs of life.
func TestWatchdogOfAnother(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify")).listen()
	for _, extra := range []string{
		"WATCHDOG_PID=1", "WATCHDOG_USEC=-5", "WATCHDOG_USEC=x", "WATCHDOG_USEC=9223372036854775807",
	} {
		r := newRig(t).run(func(c *cmd) {
			c.Env = append(c.Env, "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_USEC=100000", extra)
		})
		r.start("a", "true")
		r.must(command{Op: "stop"})
		r.wait()
	}
	m.hears(4, "STOPPING=1")
	if got := m.lines("WATCHDOG.*"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// trialOf is a trial of the candidate beside the program of r.
func trialOf(r *rig) *keeper.Trial {
	return &keeper.Trial{
		Candidate: r.prog + ".new", Program: r.prog, Deadline: 3 * time.Second, Healthy: 100 * time.Millisecond,
	}
}

func FuzzStatus(f *testing.F) {
	f.Add("2 services, 0 failing")
	f.Add("a\nREADY=1\x00\x1b[2J\u009b\xff" + strings.Repeat("ä", 300))
	f.Fuzz(func(t *testing.T, text string) {
		line := keeper.StatusLine(text)
		if len(line) > 200 || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q: %q", text, line)
		}
	})
}
