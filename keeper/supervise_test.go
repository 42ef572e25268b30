//go:build linux

package keeper_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

func TestStop(t *testing.T) {
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGVTALRM, syscall.SIGPWR, syscall.SIGABRT,
	} {
		t.Run(sig.String(), func(t *testing.T) {
			r := newRig(t).run()
			p := r.start("a", "trap 'exit 3' TERM; while :; do sleep 0.02; done")
			r.signal(syscall.SIGPIPE)
			r.signal(syscall.SIGHUP)
			r.noted("reload SIGHUP")
			r.signal(sig)
			r.signal(sig) // a second Ctrl-C does not skip anything
			if status := r.wait(); status != 0 {
				t.Errorf("status %d", status)
			}
			if lives(p.PID) {
				t.Error("a process was left behind")
			}
			r.noted("stop SIG")
			if !strings.Contains(r.text(), ": everything is stopped") {
				t.Errorf("the console does not say why:\n%s", r.text())
			}
		})
	}
}

func TestMasterThatCannotStart(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "exit 3")
	if status := r.run().wait(); status != 3 || !strings.Contains(r.text(), "cannot start") {
		t.Errorf("status %d:\n%s", status, r.text())
	}
}

func TestMasterIsStartedAgain(t *testing.T) {
	r := newRig(t).run()
	runs := r.start("runs", "sleep 100")
	pid := r.master(0)
	r.start("ends", "sleep 0.2; echo last; exit 6")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pid = r.master(pid)
	if end := r.must(command{Op: "end", Handle: "ends"}).End; end == nil || end.Code != 6 {
		t.Errorf("%+v", end)
	}
	r.file("behaviour", "exit 3") // while processes are held this is a crash as well
	_ = syscall.Kill(pid, syscall.SIGKILL)
	r.says("exit status 3")
	_ = os.Remove(r.dir + "/behaviour")
	state := r.ask(command{Op: "pid"})
	if r.master(pid); len(state.State.Processes) != 2 || !lives(runs.PID) {
		t.Errorf("%+v", state)
	}
}

func TestMasterThatHangs(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "hang")
	r.run(func(c *cmd) { c.Env = append(c.Env, "RIG_ALIVE=2s") })
	r.says("and is killed")
	_ = os.Remove(r.dir + "/behaviour")
	r.start("a", "true")
}

// A master that hangs before its Hello is not waited for as long as one that has served.
func TestMasterThatNeverGreets(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "mute")
	r.run(func(c *cmd) { c.Env = append(c.Env, "RIG_HELLO=4s", "RIG_ALIVE=1h") })
	r.says("has not said hello for 4s and is killed")
	_ = os.Remove(r.dir + "/behaviour")
	p := r.start("a", "sleep 100")
	pid := r.master(0)
	r.file("behaviour", "mute") // nor does a successor get the time of the one before
	_ = syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, "the successor is killed too", func() bool { return strings.Count(r.text(), "has not said hello") > 1 })
	_ = os.Remove(r.dir + "/behaviour")
	if r.master(pid); !lives(p.PID) {
		t.Error("a process ended with its master")
	}
}

// Without a master the keeper stops everything itself; a stopped process is continued for it.
func TestStopWithoutMaster(t *testing.T) {
	r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "RIG_HELLO=4s") })
	polite := r.start("polite", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done")
	deaf := r.start("deaf", "trap '' TERM; while :; do sleep 0.02; done")
	eventually(t, "it runs", func() bool { return len(r.ask(command{Op: "tail", Handle: "polite"}).Lines) == 1 })
	_ = syscall.Kill(-polite.PID, syscall.SIGSTOP)
	pid := r.master(0)
	r.file("behaviour", "mute")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	r.says("crashed")
	r.signal(syscall.SIGTERM)
	r.says("everything is stopped")
	eventually(t, "the new master is there", func() bool { return strings.Count(r.text(), "master started") == 2 })
	for _, c := range childrenOf(r.cmd.Process.Pid) {
		if c != polite.PID && c != deaf.PID {
			_ = syscall.Kill(c, syscall.SIGKILL)
		}
	}
	begun := time.Now()
	r.wait()
	if lives(polite.PID) || lives(deaf.PID) || time.Since(begun) > 40*time.Second {
		t.Error("processes were left behind")
	}
	text, _ := os.ReadFile(r.dir + "/polite.log")
	if !strings.Contains(string(text), "stdout: bye") {
		t.Errorf("log %q", text)
	}
}

// A candidate that hangs before its Hello keeps nobody waiting who wants everything to stop.
func TestStopWhileACandidateHangs(t *testing.T) {
	r := newRig(t).run()
	p := r.start("a", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
	install(t, r.prog+".new", "one")
	r.file("candidate", "mute")
	r.must(command{Op: "try", Trial: &keeper.Trial{
		Candidate: r.prog + ".new", Program: r.prog, Deadline: time.Minute, Healthy: time.Second,
	}})
	eventually(t, "the candidate runs", func() bool { return strings.Count(r.text(), "master started") == 2 })
	begun := time.Now()
	r.signal(syscall.SIGTERM)
	if status := r.wait(); status != 0 || lives(p.PID) || time.Since(begun) > 40*time.Second {
		t.Errorf("status %d after %s", status, time.Since(begun))
	}
}
