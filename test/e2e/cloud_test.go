//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// cloud is example/cloud with a folder of its own, and one device.
type cloud struct {
	s   *system
	dir string
	cmd *exec.Cmd // `cloud serve`
}

// device is the name of the system in its cloud.
const device = "dev1"

var cloudProgram = sync.OnceValues(func() (string, error) {
	return filepath.Join(root, "output", "cloud"), run(nil, "make", "--no-print-directory", "cloud")
})

// deviceApp is the application of a device that a cloud manages, that of docs/tutorials/cloud.md.
func (s *system) deviceApp(version string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "example/cloud/app/application.yml"))
	must(s.t, err)
	return strings.Replace(string(text), "version: v0", "version: "+version, 1)
}

// startCloud makes a cloud, adds the system to it as a device, gives it an application with an agent, and starts both.
func (s *system) startCloud() *cloud {
	s.t.Helper()
	ports := freePorts(s.t, "mqtt", "https")
	c := &cloud{s: s, dir: s.path("cloud")}
	c.run("init", "--mqtt", ports["mqtt"], "--https", ports["https"])
	c.run("device", "add", device, s.path("var/db/baetyl/agent-conf"))
	s.replace("var/db/baetyl/agent-conf/service.yml", "remote:\n", "remote:\n  report:\n    interval: 1s\n")
	s.write(appFile, s.deviceApp("v0"))
	s.timer(s.path("var/db/baetyl/timer-conf"), "v0")
	s.edit(masterFile, quicker)
	c.start()
	s.t.Cleanup(c.kill)
	s.start()
	s.eventually("the cloud has heard of the device", func() error { return c.shows("seen", "agent ") })
	return c
}

// timer writes the configuration of a timer that publishes its version to t five times a second.
func (s *system) timer(dir, version string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(dir, 0o755))
	path := filepath.Join(dir, "service.yml")
	os.Remove(path) // it may be a hard link
	must(s.t, os.WriteFile(path, []byte(s.adapt(`hub:
  address: tcp://127.0.0.1:1883
  username: test
  password: hahaha
  clientid: timer1
  interval: 1s
timer:
  interval: 200ms
publish:
  topic: t
  payload:
    version: `+version+`
`)), 0o644))
}

// application makes the folder of an application that differs from the device's first one in the timer's
// configuration. A broken one has a timer that ends at once.
func (c *cloud) application(version string, broken bool) string {
	c.s.t.Helper()
	dir := c.s.path("app-" + version)
	conf := filepath.Join(dir, "timer-conf")
	c.s.timer(conf, version)
	if broken {
		must(c.s.t, os.WriteFile(filepath.Join(conf, "service.yml"), []byte("broken: true\n"), 0o644))
	}
	must(c.s.t, os.WriteFile(filepath.Join(dir, "application.yml"), []byte(c.s.adapt(c.s.deviceApp(version))), 0o644))
	return dir
}

func (c *cloud) command(args ...string) *exec.Cmd {
	program, err := cloudProgram()
	must(c.s.t, err)
	return exec.Command(program, append([]string{"--data", c.dir}, args...)...)
}

// run is a command that has to succeed, and what it prints.
func (c *cloud) run(args ...string) string {
	c.s.t.Helper()
	out, err := c.command(args...).CombinedOutput()
	if err != nil {
		c.s.t.Fatalf("cloud %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// push pushes and returns the trace.
func (c *cloud) push(args ...string) string {
	c.s.t.Helper()
	out := c.run(append([]string{"push", device}, args...)...)
	trace, ok := strings.CutPrefix(strings.TrimSpace(out), "pushed as ")
	if !ok {
		c.s.t.Fatalf("push prints %q", out)
	}
	return trace
}

// start runs `cloud serve` until it listens.
func (c *cloud) start() {
	c.s.t.Helper()
	logs, err := os.OpenFile(c.s.path("cloud.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(c.s.t, err)
	defer logs.Close()
	c.cmd = c.command("serve")
	c.cmd.Stdout, c.cmd.Stderr = logs, logs
	must(c.s.t, c.cmd.Start())
	_, port, _ := strings.Cut(c.s.read("var/db/baetyl/agent-conf/service.yml"), "https://localhost:")
	port = port[:strings.IndexAny(port, "\"\n")]
	c.s.eventually("the cloud listens", func() error {
		conn, err := net.DialTimeout("tcp", "localhost:"+port, time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func (c *cloud) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// shows tells whether `cloud show` prints all parts.
func (c *cloud) shows(parts ...string) error {
	out, err := c.command("show", device).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, part := range parts {
		if !strings.Contains(string(out), part) {
			return fmt.Errorf("%q is missing in:\n%s", part, out)
		}
	}
	return nil
}

// steps returns what `cloud show` prints of an update, a line for each step.
func (c *cloud) steps(trace string) []string {
	c.s.t.Helper()
	var out []string
	found := false
	for _, line := range strings.Split(c.run("show", device), "\n") {
		if !strings.HasPrefix(line, " ") {
			found = strings.HasPrefix(line, trace)
		} else if found {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// ended waits for the final step of an update and returns it.
func (c *cloud) ended(trace string) string {
	c.s.t.Helper()
	var last string
	eventually(c.s.t, 2*waitLimit, "the end of update "+trace, func() error {
		if !c.s.running() {
			c.s.t.Fatalf("the keeper has ended: %v", c.s.cmd.ProcessState)
		}
		steps := c.steps(trace)
		for _, step := range steps {
			for _, final := range []string{"UPDATED", "ROLLEDBACK", "FAILURE", "TIMEOUT"} {
				if strings.HasPrefix(step, final) {
					last = final
				}
			}
		}
		if last == "" {
			return fmt.Errorf("its steps are %q", steps)
		}
		return nil
	})
	return last
}

// runs waits until the application of a version runs and no other: in inspect, in application.yml, and in what the
// timer publishes.
func (c *cloud) runs(version string) {
	c.s.t.Helper()
	c.s.waitHub()
	sub := c.s.subscribe("t")
	sub.wait("t", `"version":"`+version+`"`)
	for _, m := range sub.all("t") {
		if !strings.Contains(m.Payload, `"version":"`+version+`"`) {
			c.s.t.Errorf("%s should run, but the timer says %s", version, m.Payload)
		}
	}
	c.s.eventually("inspect and the file say "+version, func() error {
		data, err := c.s.inspectRaw()
		if err == nil && !strings.Contains(string(data), `"conf_version":"`+version+`"`) {
			err = fmt.Errorf("inspect says %s", data)
		}
		if err == nil && !strings.Contains(c.s.read(appFile), "version: "+version+"\n") {
			err = fmt.Errorf("the file is\n%s", c.s.read(appFile))
		}
		return err
	})
	for _, service := range []string{"localhub", "timer", "agent"} {
		c.s.one(service)
	}
}

// update pushes a version and waits until it runs.
func (c *cloud) update(version string) {
	c.s.t.Helper()
	trace := c.push(c.application(version, false))
	if last := c.ended(trace); last != "UPDATED" {
		c.s.t.Fatalf("the update to %s ended with %s: %q", version, last, c.steps(trace))
	}
	c.runs(version)
}

// killEverything is kill -9 of the cloud with its hub, of the keeper and of all services.
func (c *cloud) killEverything() {
	c.s.t.Helper()
	c.kill()
	c.s.killKeeper()
	// Repeatedly: the docker daemon may still start a container that the master asked for.
	c.s.eventually("nothing runs", func() error {
		left := c.s.processes()
		for _, p := range left {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		if len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}
