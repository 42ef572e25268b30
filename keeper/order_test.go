//go:build linux

package keeper_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/keeper"
)

// withOrder starts a process that a master has to end, and returns the master that would.
func (r *rig) withOrder() (master int) {
	r.t.Helper()
	r.start("a", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
	eventually(r.t, "it runs", func() bool { return len(r.must(command{Op: "tail", Handle: "a"}).Lines) == 1 })
	first := r.master(0)
	r.must(command{Op: "leave"})
	return r.master(first)
}

// stoppedInOrder waits for the end of the keeper. A master has ended the process then.
func (r *rig) stoppedInOrder() {
	r.t.Helper()
	status := r.wait()
	events, _ := os.ReadFile(filepath.Join(r.dir, "events"))
	if status != 0 || !strings.Contains(string(events), "a ended: {At:") || !strings.Contains(string(events), "Code:3 ") {
		r.t.Errorf("status %d, events:\n%s", status, events)
	}
}

// SIGTERM at any moment of a change of master: a master stops everything.
func TestStopWhileMastersChange(t *testing.T) {
	for i := range times(6, 50) {
		r := newRig(t)
		r.run()
		r.withOrder()
		r.must(command{Op: "leave"})
		time.Sleep(time.Duration(i*4) * time.Millisecond) // what is tested: a moment of the change
		r.signal(syscall.SIGTERM)
		if r.stoppedInOrder(); t.Failed() {
			t.Fatalf("after %d ms", i*4)
		}
	}
}

func TestStopBeforeHello(t *testing.T) {
	r := newRig(t).run()
	master := r.withOrder()
	r.file("behaviour", "waits")
	_ = syscall.Kill(master, syscall.SIGKILL)
	r.says("in 0s") // it has crashed
	eventually(t, "the new master is there", func() bool { return strings.Count(r.text(), "master started") == 3 })
	r.signal(syscall.SIGTERM)
	r.says("everything is stopped")
	_ = os.Remove(filepath.Join(r.dir, "behaviour"))
	r.stoppedInOrder()
}

// In the pause between two crashes no master lives.
func TestStopBetweenCrashes(t *testing.T) {
	r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "RIG_SETTLED=1m") })
	master := r.withOrder()
	r.file("behaviour", "crash")
	_ = syscall.Kill(master, syscall.SIGKILL)
	r.says("is started again in 1.6s")
	_ = os.Remove(filepath.Join(r.dir, "behaviour"))
	r.signal(syscall.SIGTERM)
	r.stoppedInOrder()
}

// A master that is about to end does not hear that everything is to stop.
func TestStopWhileAMasterLeaves(t *testing.T) {
	r := newRig(t)
	r.file("behaviour", "deaf")
	r.run()
	master := r.withOrder()
	_ = os.Remove(filepath.Join(r.dir, "behaviour"))
	r.signal(syscall.SIGTERM)
	r.says("everything is stopped")
	r.noted("stop SIGTERM")
	_ = syscall.Kill(master, syscall.SIGTERM)
	r.stoppedInOrder()
}

// A master may have left what the keeper does not hold, as containers.
func TestStopOfWhatIsNotHeld(t *testing.T) {
	r := newRig(t).run()
	master := r.master(0)
	r.file("behaviour", "waits")
	_ = syscall.Kill(master, syscall.SIGKILL)
	eventually(t, "the new master is there", func() bool { return strings.Count(r.text(), "master started") == 2 })
	r.signal(syscall.SIGTERM)
	r.says("everything is stopped")
	_ = os.Remove(filepath.Join(r.dir, "behaviour"))
	if status := r.wait(); status != 0 {
		t.Errorf("status %d", status)
	}
	r.noted("stop SIGTERM")
}

// When that master fails too, everything ends without order, and the status tells it.
func TestStopWithoutAnyMaster(t *testing.T) {
	r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "RIG_SETTLED=1m") })
	master := r.withOrder()
	r.file("behaviour", "exit 3")
	_ = syscall.Kill(master, syscall.SIGKILL)
	r.says("is started again in 400ms")
	r.signal(syscall.SIGTERM)
	if status := r.wait(); status != 3 || !strings.Contains(r.text(), "without order") {
		t.Errorf("status %d", status)
	}
}

// The Hello of a master that only the next keeper could serve is not answered to another one.
func TestHelloOfADeadMaster(t *testing.T) {
	r := newRig(t).run()
	r.start("a", "sleep 100")
	fifo := filepath.Join(r.dir, "hangs.log") // no keeper is replaced while a log hangs
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r.start("hangs", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exec sleep 100")
	master := r.master(0)
	r.file("behaviour", "protocol")
	r.upgrade("two")
	r.says("the keeper is replaced later")
	r.file("behaviour", "")
	for _, c := range childrenOf(r.cmd.Process.Pid) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c)); strings.HasPrefix(string(name), keeper.MasterName) {
			_ = syscall.Kill(c, syscall.SIGKILL)
		}
	}
	if state := r.ask(command{Op: "pid"}); state.PID == master || len(state.State.Processes) != 2 {
		t.Errorf("%+v", state)
	}
}

// A keeper that could not run, as in a machine that slept, does not take it for a silence of its master.
func TestKeeperThatWasStopped(t *testing.T) {
	for range times(3, 20) {
		r := newRig(t).run(func(c *cmd) { c.Env = append(c.Env, "RIG_ALIVE=3s") })
		master := r.master(0)
		r.signal(syscall.SIGSTOP)
		time.Sleep(3300 * time.Millisecond) // what is tested: longer than a master may be silent
		r.signal(syscall.SIGCONT)
		r.start("a", "true")
		if r.master(0) != master {
			t.Fatal("the master was killed")
		}
		r.stop()
	}
}
