//go:build linux

package keeper_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

// upgrade puts another version in place, as a package does, and lets the master leave.
func (r *rig) upgrade(part string) {
	r.t.Helper()
	install(r.t, r.prog+".package", part)
	if err := os.Rename(r.prog+".package", r.prog); err != nil {
		r.t.Fatal(err)
	}
	r.must(command{Op: "leave"})
}

// lines checks that the numbers of a service are in its log, each once and in order, and returns how many there are.
func (r *rig) lines(handle string) int {
	r.t.Helper()
	f, err := os.Open(filepath.Join(r.dir, handle+".log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	number := regexp.MustCompile(`stdout: (\d+)$`)
	n := 0
	for in := bufio.NewScanner(f); in.Scan(); {
		m := number.FindStringSubmatch(in.Text())
		if m == nil {
			if strings.Contains(in.Text(), "stdout: end "+strconv.Itoa(n)) {
				return n
			}
			r.t.Fatalf("%s: line %q after %d", handle, in.Text(), n)
		}
		if m[1] != strconv.Itoa(n) {
			r.t.Fatalf("%s: line %s follows %d", handle, m[1], n-1)
		}
		n++
	}
	r.t.Fatalf("%s: no last line after %d", handle, n)
	return 0
}

// finish ends services by a signal and checks their ends and lines.
func (r *rig) finish(services map[string]int) {
	r.t.Helper()
	for handle, pid := range services {
		if !lives(pid) {
			r.t.Errorf("%s is not what it was", handle)
		}
		r.must(command{Op: "signal", Handle: handle, Signal: int(syscall.SIGTERM)})
		if end := r.must(command{Op: "end", Handle: handle}).End; end == nil || end.Code != 4 {
			r.t.Errorf("%s: end %+v", handle, end)
		}
		r.must(command{Op: "release", Handle: handle})
	}
	if status := r.stop(); status != 0 {
		r.t.Errorf("status %d", status)
	}
	total := 0
	for handle := range services {
		total += r.lines(handle)
	}
	r.t.Logf("%d lines", total)
}

func (r *rig) stop() int {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	return r.wait()
}

// load starts ten services that write 2,000 lines a second together.
func (r *rig) load() map[string]int {
	r.t.Helper()
	services := map[string]int{}
	for i := range 10 {
		handle := fmt.Sprintf("s%d", i)
		services[handle] = r.start(handle, "service", "200").PID
	}
	return services
}

// times is how often something is done: all of it with BAETYL_TEST_ALL.
func times(short, all int) int {
	if os.Getenv("BAETYL_TEST_ALL") != "" {
		return all
	}
	return short
}

func TestKillMaster(t *testing.T) {
	r := newRig(t).run()
	services := r.load()
	pid := r.master(0)
	for range times(10, 100) {
		short := fmt.Sprintf("short%d", pid)
		code := rand.IntN(100)
		r.start(short, fmt.Sprintf("sleep 0.0%d; exit %d", rand.IntN(3), code))
		_ = syscall.Kill(pid, syscall.SIGKILL)
		pid = r.master(pid)
		if end := r.must(command{Op: "end", Handle: short}).End; end == nil || end.Code != code {
			t.Errorf("end %+v, expected code %d", end, code)
		}
		r.must(command{Op: "release", Handle: short})
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", r.cmd.Process.Pid))
	if m := regexp.MustCompile(`Pss_Anon: +(\d+) kB`).FindSubmatch(rollup); m != nil {
		t.Logf("private memory of the keeper: %s kB", m[1])
		if kb, _ := strconv.Atoi(string(m[1])); kb > 5<<10 && times(0, 1) == 1 && !hasRaceDetector() {
			t.Errorf("%d kB, at most 5 MB", kb)
		}
	} else {
		t.Logf("memory is not known: %v", err)
	}
	r.finish(services)
}

// hasRaceDetector tells whether this program does, which takes memory.
func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func TestReplaceKeeper(t *testing.T) {
	r := newRig(t).run()
	services := r.load()
	keeperPID, master := r.cmd.Process.Pid, r.master(0)
	r.must(command{Op: "keep"})
	for i := range times(10, 80) {
		short := fmt.Sprintf("short%d", i)
		r.start(short, fmt.Sprintf("sleep 0.0%d; echo x; exit 5", rand.IntN(9)))
		r.upgrade([]string{"two", "one"}[i%2])
		master = r.master(master)
		eventually(t, "the keeper was replaced", func() bool {
			return strings.Count(r.text(), "the keeper was replaced;") == i+1
		})
		if end := r.must(command{Op: "end", Handle: short}).End; end == nil || end.Code != 5 {
			t.Errorf("end %+v", end)
		}
		r.must(command{Op: "release", Handle: short})
		if got := r.master(0); got != master {
			t.Errorf("the living master was lost: %d, now %d", master, got)
		}
	}
	if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", keeperPID)); !strings.Contains(string(status), "(prog)") {
		t.Errorf("%s", status)
	}
	r.finish(services)
}

// The output of a master goes on over an exec, in the middle of a line as well.
func TestReplaceKeeperOfHalfLines(t *testing.T) {
	r := newRig(t).run()
	r.start("half", "printf 'first '; sleep 0.5; echo second; sleep 100")
	r.upgrade("two")
	r.says("the keeper was replaced;")
	eventually(t, "one line", func() bool {
		lines := r.must(command{Op: "tail", Handle: "half"}).Lines
		return len(lines) == 1 && lines[0] == "first second"
	})
	r.must(command{Op: "print", Handle: "the master prints"})
	r.says("the master prints")
}

// A keeper that cannot read the state is not executed.
func TestReplaceByUnreadable(t *testing.T) {
	r := newRig(t).run()
	p := r.start("a", "sleep 100")
	r.upgrade("unreadable")
	r.says("the keeper is not replaced")
	r.must(command{Op: "tail", Handle: "a"})
	if !lives(p.PID) {
		t.Error("the process has ended")
	}
}

func TestKillKeeper(t *testing.T) {
	r := newRig(t).run()
	p, master := r.start("a", "sleep 100"), r.master(0)
	r.upgrade("two")
	master = r.master(master)
	r.says("the keeper was replaced;")
	q := r.start("b", "sleep 100")
	_ = r.cmd.Process.Kill()
	r.wait()
	eventually(t, "all have ended", func() bool { return !lives(p.PID) && !lives(q.PID) && !lives(master) })
}

func TestCandidate(t *testing.T) {
	for name, c := range map[string]struct{ part, does, rejected string }{
		"good":                  {"one", "", ""},
		"good, another keeper":  {"two", "", ""},
		"does not start":        {"one", "exit 3", "it ended before"},
		"crashes":               {"two", "crash", "it ended before"},
		"hangs":                 {"two", "mute", "it has not started the application within"},
		"is not ready":          {"two", "late", "it has not started the application within"},
		"says why":              {"two", "says port 80 is taken", "port 80 is taken"},
		"another protocol":      {"one", "protocol", "this keeper speaks protocol 1, the master 2"},
		"cannot read the state": {"unreadable", "", "its keeper: "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).run()
			p, master := r.start("a", "sleep 100"), r.master(0)
			old, err := os.ReadFile(r.prog)
			if err != nil {
				t.Fatal(err)
			}
			install(t, r.prog+".new", c.part)
			r.file("candidate", c.does)
			trial := keeper.Trial{
				Candidate: r.prog + ".new", Program: r.prog, Deadline: time.Minute, Healthy: 200 * time.Millisecond,
			}
			if strings.HasSuffix(c.rejected, "within") { // all others say it long before
				trial.Deadline = time.Second
			}
			r.must(command{Op: "try", Trial: &trial})
			if c.rejected == "" {
				r.says("the candidate is the master now")
				r.noted("ready: <nil>")
				if c.part != "one" {
					r.says("the keeper was replaced;")
				}
			} else {
				r.says("the candidate is rejected")
			}
			eventually(t, "the right master is there", func() bool {
				got := r.ask(command{Op: "pid"})
				return got.PID != master && strings.Contains(got.State.Rejected, c.rejected) &&
					(got.State.Rejected == "") == (c.rejected == "") && got.State.Candidate == (c.rejected == "")
			})
			now, _ := os.ReadFile(r.prog)
			if same := string(now) == string(old); same == (c.rejected == "") && c.part != "one" {
				t.Errorf("the program was replaced: %v", !same)
			}
			if !lives(p.PID) {
				t.Error("the process has ended")
			}
			if status := r.stop(); status != 0 || lives(p.PID) {
				t.Errorf("status %d", status)
			}
		})
	}
}

// plain is a program of a version without a keeper.
const plain = `#!/bin/sh
[ "$BAETYL_MASTER_TRIAL" = 1 ] && [ -z "$BAETYL_KEEPER_FD" ] || exit 9
trap 'echo plain ends; exit 6' TERM
%s
echo ready >&3
read word <&4
echo "heard $word"
while :; do sleep 0.02; done
`

func TestPlainCandidate(t *testing.T) {
	for does, rejected := range map[string]string{"": "", "echo error no configuration >&3; exit 1": "no configuration"} {
		r := newRig(t).run()
		master := r.master(0)
		pipe, kept, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.must(command{Op: "keep", Handle: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), kept.Fd())})
		_ = kept.Close()
		r.file("bin/prog.new", fmt.Sprintf(plain, does))
		_ = os.Chmod(r.prog+".new", 0o755)
		r.must(command{Op: "try", Trial: &keeper.Trial{
			Candidate: r.prog + ".new", Program: r.prog, Deadline: time.Minute, Healthy: 100 * time.Millisecond, Plain: true,
		}})
		if n, err := pipe.Read(make([]byte, 1)); n != 0 || err != io.EOF { // nobody holds the other end
			t.Errorf("read %d: %v", n, err)
		}
		_ = pipe.Close()
		if rejected != "" {
			r.says(rejected)
			r.master(master)
			r.stop()
			continue
		}
		r.says("heard go")
		if status := r.stop(); status != 6 || !strings.Contains(r.text(), "plain ends") {
			t.Errorf("status %d", status)
		}
	}
}

// A keeper that is a candidate itself, of a version without one.
func TestKeeperAsCandidate(t *testing.T) {
	said, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hear, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.file("behaviour", "words")
	r.run(func(c *exec.Cmd) {
		c.ExtraFiles = []*os.File{say, hear}
		c.Env = append(c.Env, "BAETYL_MASTER_TRIAL=1")
	})
	_, _ = say.Close(), hear.Close()
	if word, err := bufio.NewReader(said).ReadString('\n'); err != nil || word != "ready\n" {
		t.Fatalf("%q, %v", word, err)
	}
	_, _ = fmt.Fprintln(tell, "go")
	r.noted("ready: <nil>")
	pid := r.master(0)
	r.file("behaviour", "")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	r.master(pid) // it is a keeper like any other then
	r.stop()
}
