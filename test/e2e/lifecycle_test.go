//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A second master in the same folder ends with an error and touches nothing of the first.
func TestSecondMasterIsRefused(t *testing.T) {
	s := newSystem(t).withoutTimer().start()
	hub := s.one("localhub").pid
	out, err := exec.Command("timeout", "20", s.path("bin/baetyl"), "start").CombinedOutput()
	if err == nil || strings.Contains(err.Error(), "124") {
		t.Fatalf("a second master in the same folder started: %v\n%s", err, out)
	}
	if now := s.one("localhub").pid; now != hub {
		t.Errorf("the hub of the first master was replaced: %d is now %d", hub, now)
	}
}

// startFlow runs the system with the timer publishing to t five times a second, so that messages flow through the
// hub, the function manager and the functions.
func startFlow(t *testing.T) *system {
	t.Helper()
	s := newSystem(t)
	answering(t)
	s.replace(timerFile, "interval: 10s", "interval: 200ms")
	s.edit(managerFile, func(text string) string { return strings.Replace(text, "hub:\n", "hub:\n  interval: 2s\n", 1) })
	s.edit(timerFile, func(text string) string { return strings.Replace(text, "hub:\n", "hub:\n  interval: 2s\n", 1) })
	s.start()
	s.answers()
	return s
}

// answers waits until a new subscriber has received an answer of every function.
func (s *system) answers() {
	s.t.Helper()
	sub := s.subscribe("t/#")
	for _, topic := range answering(s.t) {
		s.eventually("answers on "+topic, func() error {
			for _, m := range sub.all(topic) {
				if strings.Contains(m.Payload, "Hello Baetyl") {
					return nil
				}
			}
			return errors.New("none")
		})
	}
}

// whole checks that the system works again: functions answer, and each service has exactly one process.
func (s *system) whole(since time.Time) {
	s.t.Helper()
	s.waitHub()
	s.answers()
	s.t.Logf("whole again after %v", time.Since(since).Round(time.Millisecond))
	services := []string{"localhub", "function-manager", "timer"}
	for _, service := range services {
		s.one(service)
		s.waitStatus(service, "running", 1)
	}
	for topic, name := range sayhi {
		if !contains(answering(s.t), topic) {
			continue
		}
		service := "function-" + name
		s.eventually("one instance of "+service, func() error {
			all, err := s.instances(service)
			if err != nil {
				return err
			}
			parents := roots(s.processesOf(service))
			if service != "function-python27-sayhi" && (len(all) != 1 || len(parents) != 1) { // python27 may have up to ten
				return fmt.Errorf("inspect shows %s, processes are %v", describe(all), parents)
			}
			if len(all) != len(parents) {
				return fmt.Errorf("inspect shows %d, processes are %v", len(all), parents)
			}
			return nil
		})
	}
}

func contains(list []string, one string) bool {
	for _, e := range list {
		if e == one {
			return true
		}
	}
	return false
}

// kill -9 of each service while messages flow: the system repairs itself, and no second copy of a service runs.
func TestKill9(t *testing.T) {
	s := startFlow(t)
	for _, service := range []string{
		"localhub", "function-manager", "function-python36-sayhi", "function-node85-sayhi", "timer",
	} {
		victims := roots(s.processesOf(service))
		if len(victims) == 0 {
			t.Fatalf("%s does not run", service)
		}
		t.Logf("kill -9 %d (%s)", victims[0].pid, service)
		must(t, syscall.Kill(victims[0].pid, syscall.SIGKILL))
		since := time.Now()
		s.eventually("the killed process is gone", func() error { return gone(victims[0].pid) })
		s.whole(since)
	}
}

// A process that the master did not start is never stopped, here one that works below the same folder.
func TestForeignProcessIsLeftAlone(t *testing.T) {
	nativeOnly(t, "a container has no pid that could be recycled")
	s := newSystem(t).withoutTimer().start()
	s.killKeeper()
	foreign := exec.Command("sleep", "1000")
	foreign.Dir = s.dir
	must(t, foreign.Start())
	defer func() { foreign.Process.Kill(); foreign.Wait() }()
	s.startMaster()
	s.waitHub()
	s.waitStatus("localhub", "running", 1)
	if gone(foreign.Process.Pid) == nil {
		t.Error("the foreign process was stopped")
	}
}

// A service whose package is missing is shown as failed with its reason, in inspect and in the log, while the others
// run. When the package is there again, the service starts by itself.
func TestMissingPackage(t *testing.T) {
	nativeOnly(t, "there are no packages")
	s := newSystem(t)
	const folder = "var/db/baetyl/baetyl-timer"
	s.replace(timerFile, "interval: 10s", "interval: 200ms")
	must(t, os.Rename(s.path(folder), s.path("away")))
	s.start()
	s.waitStatus("function-manager", "running", 1)
	s.eventually("inspect shows timer as failed with the reason", func() error {
		all, err := s.instances("timer")
		if err != nil {
			return err
		}
		if text := describe(all); !strings.Contains(text, `"failed"`) || !strings.Contains(text, folder) {
			raw, _ := s.inspectRaw()
			return fmt.Errorf("it shows %q of %s", text, services(raw))
		}
		return nil
	})
	s.logged("service=timer", folder)
	sub := s.subscribe("t/topic")
	s.publish("t", `{"id":7}`)
	sub.wait("t/topic", `{"id":7}`)

	os.RemoveAll(s.path(folder)) // the master may have made an empty one for the link
	must(t, os.Rename(s.path("away"), s.path(folder)))
	sub.wait("t/topic", `"time"`)
	s.waitStatus("timer", "running", 1)
}

// services cuts the part about services out of an inspect answer.
func services(raw []byte) string {
	_, rest, _ := strings.Cut(string(raw), `"services"`)
	return rest
}

// A function whose package is missing answers with the documented error; the other functions still work.
func TestMissingFunctionPackage(t *testing.T) {
	nativeOnly(t, "there are no packages")
	s := newSystem(t).withoutTimer()
	answering(t)
	must(t, os.RemoveAll(s.path("var/db/baetyl/baetyl-function-python36")))
	s.start()
	sub := s.subscribe("t/#")
	s.publish("t", `{"id":1}`)
	sub.wait("t/node8hi", "Hello Baetyl")
	got := sub.waitJSON("t/py3hi", "errorMessage")
	if message, _ := got["functionMessage"].(map[string]any); message["FunctionName"] != "python36-sayhi" ||
		got["errorType"] == nil {
		t.Errorf("the rule answers %v", got)
	}
	s.logged("function-python36-sayhi", "var/db/baetyl/baetyl-function-python36")
	// The same again: the error has stopped nothing.
	s.publish("t", `{"id":2}`)
	sub.wait("t/node8hi", `"id":2`)
	s.eventually("a second error", func() error {
		if len(sub.all("t/py3hi")) < 2 {
			return errors.New("none came")
		}
		return nil
	})
}

// A runtime without its libraries affects only its own function, and the log says which command prepares it.
func TestMissingInterpreter(t *testing.T) {
	nativeOnly(t, "there are no packages")
	s := newSystem(t).withoutTimer()
	answering(t)
	must(t, os.RemoveAll(s.path("var/db/baetyl/baetyl-function-node85/node_modules")))
	s.start()
	sub := s.subscribe("t/#")
	s.publish("t", `{"id":1}`)
	sub.wait("t/py3hi", "Hello Baetyl")
	sub.wait("t/node8hi", "errorMessage")
	s.logged("prepare") // the command to run
}

// logged waits until one line of the console or a log contains all parts.
func (s *system) logged(parts ...string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("a log line with %q", parts), func() error {
	next:
		for _, line := range strings.Split(s.everythingLogged(), "\n") {
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue next
				}
			}
			return nil
		}
		return errors.New("there is none")
	})
}

// The hub fails while its port is in use; the other services wait for it, and messages flow once the port is free.
func TestPortInUseForAWhile(t *testing.T) {
	s := newSystem(t)
	l, err := net.Listen("tcp", "0.0.0.0:"+s.port["1883"])
	must(t, err)
	s.replace(timerFile, "interval: 10s", "interval: 200ms")
	s.edit(timerFile, func(text string) string { return strings.Replace(text, "hub:\n", "hub:\n  interval: 2s\n", 1) })
	s.startMaster()
	s.logged(s.port["1883"], "address already in use")
	l.Close()
	s.waitHub()
	s.subscribe("t/topic").wait("t/topic", `"id":1`)
}
