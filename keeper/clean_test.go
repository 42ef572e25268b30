//go:build linux

package keeper_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

// Descriptors, the umask, ignored and blocked signals that the keeper inherits reach neither the master nor its
// processes.
func TestNothingLeaks(t *testing.T) {
	host, err := os.Open("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	r := newRig(t).run(func(c *exec.Cmd) {
		script := `import ctypes, os, signal, sys
ignore = (ctypes.c_ulong * 8)(1) # signal 32 is kept from Python by the C library, and by the runtime from Go
rt_sigaction = {"x86_64": 13}.get(os.uname().machine, 134)
assert ctypes.CDLL(None).syscall(rt_sigaction, 32, ignore, None, 8) == 0
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
for s in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGUSR2): signal.signal(s, signal.SIG_IGN)
os.dup2(3, 9)
os.umask(0o077)
os.execv(sys.argv[1], sys.argv[1:])`
		c.Path, c.Args = "/usr/bin/env", append([]string{"env", "python3", "-c", script}, r0(c)...)
		c.ExtraFiles = []*os.File{host}
	})
	r.start("a", `readlink /proc/self/fd/* >&2; grep -E '^(Sig(Ign|Blk)|Umask)' /proc/self/status; exec sleep 100`)
	master := r.master(0)
	check := func() {
		t.Helper()
		var lines []string
		eventually(t, "the process has told", func() bool {
			lines = r.must(command{Op: "tail", Handle: "a"}).Lines
			return strings.Count(strings.Join(lines, "\n"), "Sig") == 2
		})
		text := strings.Join(lines, "\n")
		if strings.Count(text, "0000000000000000") != 2 || strings.Contains(text, "hostname") ||
			strings.Contains(text, "socket") || !strings.Contains(text, "Umask:\t0022") {
			t.Errorf("%s", text)
		}
	}
	check()
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", master))
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to == "/etc/hostname" {
			t.Errorf("the master has it as %s", fd)
		}
	}
	r.must(command{Op: "signal", Handle: "a", Signal: int(syscall.SIGKILL)})
	r.must(command{Op: "end", Handle: "a"})
	r.must(command{Op: "release", Handle: "a"})
	r.upgrade("two")
	r.says("the keeper was replaced;")
	r.start("a", `readlink /proc/self/fd/* >&2; grep -E '^(Sig(Ign|Blk)|Umask)' /proc/self/status; exec sleep 100`)
	check()
	r.stop()
}

// r0 is how a command is called.
func r0(c *exec.Cmd) []string { return append([]string{c.Path}, c.Args[1:]...) }

// What a process leaves behind in another session is reaped when it ends.
func TestOrphans(t *testing.T) {
	r := newRig(t).run()
	for i := range 20 {
		r.start(fmt.Sprintf("p%d", i), "(setsid sh -c 'exec sleep 0.05' &) ; exit 0")
	}
	r.start("stays", "sleep 100")
	eventually(t, "only master and one process are left", func() bool { return len(childrenOf(r.cmd.Process.Pid)) == 2 })
	r.stop()
}

// A log that hangs, here a pipe that nobody reads, is the matter of its process alone.
func TestLogThatHangs(t *testing.T) {
	r := newRig(t).run()
	fifo := filepath.Join(r.dir, "a.log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that it can be opened, and fills
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	a := r.start("a", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo written; exec sleep 100")
	eventually(t, "the process was not made to wait", func() bool {
		return strings.Contains(strings.Join(r.must(command{Op: "tail", Handle: "a"}).Lines, " "), "written")
	})
	r.start("b", "exit 2")
	if end := r.must(command{Op: "end", Handle: "b"}).End; end == nil || end.Code != 2 {
		t.Errorf("%+v", end)
	}
	master := r.master(0)
	r.upgrade("two")
	r.master(master)
	if strings.Contains(r.text(), "the keeper was replaced;") {
		t.Error("the keeper was replaced while a write hung")
	}
	r.says("the keeper is replaced later")
	go func() { // ends with held
		for in := bufio.NewScanner(held); in.Scan(); {
		}
	}()
	r.says("the keeper was replaced;")
	if !lives(a.PID) {
		t.Error("the process has ended")
	}
	r.stop()
}

// Nobody reads the console.
func TestConsoleThatNobodyReads(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := newRig(t).run(func(c *exec.Cmd) { c.Stdout, c.Stderr = out, out })
	_ = out.Close()
	text := strings.Repeat("x", 10000)
	for range 100 { // 1 MB
		r.must(command{Op: "print", Handle: text})
	}
	master := r.master(0)
	p := r.start("a", "sleep 100")
	_ = syscall.Kill(master, syscall.SIGKILL)
	master = r.master(master)
	r.upgrade("two")
	r.master(master)
	read := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(in); s.Scan(); {
			if strings.Contains(s.Text(), "lost") {
				read <- s.Text()
				break
			}
		}
		close(read)
		_ = in.Close()
	}()
	select {
	case line := <-read:
		if line == "" {
			t.Error("the console does not say that lines were lost")
		}
	case <-time.After(time.Minute):
		t.Error("the console is not written when it is read again")
	}
	begun := time.Now()
	if status := r.stop(); status != 0 || lives(p.PID) || time.Since(begun) > 40*time.Second {
		t.Errorf("status %d", status)
	}
}

// SIGTERM stops everything in order, also when it comes while the keeper replaces itself.
func TestStopWhileReplaced(t *testing.T) {
	for i := range times(8, 40) {
		r := newRig(t).run()
		p := r.start("a", "trap 'echo in order; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
		eventually(t, "it runs", func() bool { return len(r.must(command{Op: "tail", Handle: "a"}).Lines) == 1 })
		master := r.master(0)
		r.upgrade("two")
		r.says("the keeper is replaced by")
		time.Sleep(time.Duration(i%40) * 125 * time.Microsecond) // what is tested: a moment of the exec
		r.signal(syscall.SIGTERM)
		r.wait()
		text, _ := os.ReadFile(filepath.Join(r.dir, "a.log"))
		if lives(p.PID) || lives(master) || !strings.Contains(string(text), "in order") {
			events, _ := os.ReadFile(filepath.Join(r.dir, "events"))
			t.Fatalf("after %d µs: %v\n%s%s", i%40*125, r.cmd.ProcessState, text, events)
		}
	}
}

// FuzzState: a keeper that replaces another one reads what that wrote, or says that it cannot.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"Version":1,"Processes":[{"Handle":"a","PID":3,"Pipes":[7,-1]}],"Kept":{"s":4},"Master":{"PID":2}}`))
	f.Add([]byte(`{"Version":2}`))
	f.Fuzz(func(t *testing.T, text []byte) { _ = keeper.CheckState(text) })
}
