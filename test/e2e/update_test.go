//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// update installs a version of the application through the API, as docs/updates.md shows, and returns the final record.
func (s *system) update(version string, change func(text string) string) masterapi.OTARecord {
	s.t.Helper()
	dir := "var/db/baetyl/app/" + version
	must(s.t, os.MkdirAll(s.path(dir), 0o755))
	text := strings.Replace(s.read(appFile), "version: v0", "version: "+version, 1)
	must(s.t, os.WriteFile(s.path(dir+"/application.yml"), []byte(change(text)), 0o644))
	return s.installed(version, fmt.Sprintf(`{"type":"APP","path":%q,"trace":%q}`, dir, version))
}

// installed asks for an update with the trace, and returns its final record.
func (s *system) installed(trace, request string) masterapi.OTARecord {
	s.t.Helper()
	s.eventually("the update is accepted", func() error {
		status, answer, err := s.api(http.MethodPut, masterapi.PathUpdate, request)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, answer)
		}
		return err
	})
	var final masterapi.OTARecord
	s.eventually("update "+trace+" ends", func() error {
		data, err := os.ReadFile(s.path(masterapi.OTALog))
		if err != nil {
			return err
		}
		records, err := masterapi.ReadOTALog(bytes.NewReader(data))
		if err != nil || len(records) == 0 {
			return fmt.Errorf("%d records: %w", len(records), err)
		}
		if final = records[len(records)-1]; final.Trace != trace || !masterapi.Final(final.Step) {
			return fmt.Errorf("step %s of %s", final.Step, final.Trace)
		}
		return nil
	})
	return final
}

// broken makes v2 of v1, with a timer that ends with an error soon after its start.
func (s *system) broken(text string) string {
	s.write("var/db/baetyl/timer-conf-v2/service.yml", "timer:\n  interval: soon\n")
	text = strings.Replace(text, "version: v1", "version: v2", 1)
	return strings.Replace(text, "path: var/db/baetyl/timer-conf\n", "path: var/db/baetyl/timer-conf-v2\n", 1)
}

// withUpdates gives services the right to update the system, and makes updates quicker than on a device.
func (s *system) withUpdates() *system {
	s.edit(appFile, func(text string) string {
		return strings.ReplaceAll(text, "api: [report, inspect]", "api: [report, inspect, update]")
	})
	s.edit(masterFile, quicker)
	return s
}

// quicker lets updates end sooner than on a device. A busy machine takes seconds until a broken service ends.
func quicker(master string) string { return master + "update:\n  healthy: 5s\n  deadline: 40s\n" }

func (s *system) inspect() (in masterapi.Inspect, err error) {
	data, err := s.inspectRaw()
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	return in, err
}

// A good version is installed, a broken one is rolled back; services that have not changed go on running.
func TestUpdate(t *testing.T) {
	besideOthers(t)
	s := newSystem(t).withoutTimer().withUpdates().start()
	hub := s.one("localhub").pid
	timer := s.one("timer").pid
	if got := s.update("v1", func(text string) string { // another definition of the timer
		return strings.Replace(text, "- name: timer\n", "- name: timer\n    env:\n      CHANGED: v1\n", 1)
	}); got.Step != masterapi.StepUpdated {
		t.Fatalf("update v1: %+v", got)
	}
	if now := s.one("timer").pid; now == timer {
		t.Error("the definition of the timer has changed, but it was not started again")
	}
	got := s.update("v2", s.broken)
	if got.Step != masterapi.StepRolledBack || !strings.Contains(got.Error, "instance timer of service timer") {
		t.Fatalf("update v2: %+v", got)
	}
	in, err := s.inspect()
	must(t, err)
	if in.Software.ConfVersion != "v1" || in.Error != got.Error {
		t.Errorf("inspect shows version %s and error %q", in.Software.ConfVersion, in.Error)
	}
	if now := s.one("localhub").pid; now != hub {
		t.Error("the definition of the hub has not changed, but it was started again")
	}
	s.waitStatus("timer", "running", 1)
	s.routes()
}

// routes checks that messages flow: the hub forwards from t to t/topic.
func (s *system) routes() {
	s.t.Helper()
	topic := s.subscribe("t/topic")
	s.publish("t", `{"id":1}`)
	topic.wait("t/topic")
}

// in1970 builds a program of this repository whose wall clock begins in 1970: it is built with a changed time.Now. The
// clock of the machine stays as it is, since all tests share it and no namespace can have another.
func in1970(t *testing.T, target, pkg string) {
	t.Helper()
	env := exec.Command("go", "env", "GOROOT")
	env.Dir = root
	goroot, err := env.Output()
	must(t, err)
	source := filepath.Join(strings.TrimSpace(string(goroot)), "src/time/time.go")
	text, err := os.ReadFile(source)
	must(t, err)
	const line = "	sec, nsec, mono := runtimeNow()\n"
	if bytes.Count(text, []byte(line)) != 1 {
		requires.Missing(t, "the line "+strings.TrimSpace(line)+" in "+source, "use the Go of go.mod")
	}
	dir := t.TempDir()
	today := time.Now().Truncate(24 * time.Hour).Unix() // the same all day, so that Go's cache has what was built
	shifted := strings.Replace(string(text), line, line+"	sec -= "+strconv.FormatInt(today, 10)+"\n", 1)
	must(t, os.WriteFile(filepath.Join(dir, "time.go"), []byte(shifted), 0o644))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: filepath.Join(dir, "time.go")}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644))
	must(t, os.RemoveAll(target)) // may be a hard link to the installed one
	must(t, run([]string{"CGO_ENABLED=0"}, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"),
		"-tags", "grpcnotrace,nethttpomithttp2", "-o", target, pkg))
}

// After a power cut the last good application boots without a network and with a clock that begins in 1970. In native
// mode the clock of the hub and the timer begins there too; in docker mode containers have the clock of the machine.
func TestColdBoot(t *testing.T) {
	besideOthers(t)
	if err := exec.Command("unshare", "--net", "true").Run(); err != nil {
		requires.Missing(t, "a network namespace (unshare --net)", "run as root: "+err.Error())
	}
	s := newSystem(t).withoutTimer().withUpdates().start()
	if got := s.update("v1", func(text string) string { return text }); got.Step != masterapi.StepUpdated {
		t.Fatalf("update v1: %+v", got)
	}
	if got := s.update("v2", s.broken); got.Step != masterapi.StepRolledBack {
		t.Fatalf("update v2: %+v", got)
	}
	s.killKeeper()

	in1970(t, s.path("program/baetyl"), ".")
	nativeModules := []string{"baetyl-hub", "baetyl-timer", "baetyl-function-manager"}
	for _, m := range nativeModules {
		if mode == masterapi.ModeNative {
			in1970(t, s.path("var/db/baetyl/"+m+"/bin/"+m), "./"+m)
		}
	}
	must(t, os.Remove(s.path("bin/baetyl")))
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --net %s \"$@\" -w %s\n", s.path("program/baetyl"), s.dir)
	must(t, os.WriteFile(s.path("bin/baetyl"), []byte(script), 0o755))
	s.startMaster()
	for _, service := range []string{"localhub", "function-manager", "timer"} {
		s.waitStatus(service, "running", 1)
	}
	s.eventually("inspect shows the last good application, in 1970", func() error {
		in, err := s.inspect()
		if err == nil && (in.Software.ConfVersion != "v1" || in.Error != "" || in.Time.Year() != 1970) {
			err = fmt.Errorf("version %s, error %q, time %s", in.Software.ConfVersion, in.Error, in.Time)
		}
		return err
	})
	if interfaces := s.interfaces(); interfaces != "lo" {
		t.Errorf("the master sees %q", interfaces)
	}
	if mode == masterapi.ModeDocker { // docker publishes the hub's port in the namespace of the machine
		s.routes()
	}
	again := s.update("v3", func(text string) string { return strings.Replace(text, "version: v1", "version: v3", 1) })
	if again.Step != masterapi.StepUpdated || again.Time.Year() != 1970 {
		t.Errorf("an update there: %+v", again)
	}
}

// interfaces are the network interfaces that the master sees.
func (s *system) interfaces() string {
	s.t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(s.master()) + "/net/dev")
	must(s.t, err)
	var names []string
	for _, line := range strings.Split(string(data), "\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return strings.Join(names, " ")
}
