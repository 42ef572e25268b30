//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// underLoad starts a system whose master is then replaced by replace, while a hundred messages a second flow at QoS 1
// through the hub and functions. The services must not notice: same processes or containers, same tokens, no restart,
// and each message comes out once, in time.
func underLoad(t *testing.T, prepare func(s *system), replace func(s *system)) {
	t.Helper()
	s, topics := loaded(t)
	prepare(s)
	s.start()
	l := s.startLoad(topics)
	before, err := s.census()
	must(t, err)
	replace(s)
	s.eventually("everything is as before", func() error {
		after, err := s.census()
		switch {
		case err != nil:
			return err
		case !maps.Equal(before.processes, after.processes):
			return fmt.Errorf("%v run, and before %v", after.processes, before.processes)
		case !maps.Equal(before.restarts, after.restarts):
			return fmt.Errorf("restarts are %v, and were %v", after.restarts, before.restarts)
		case !maps.Equal(before.accounts, after.accounts):
			return errors.New("the tokens have changed")
		}
		return nil
	})
	for a := range before.accounts { // a token of before is one that the new master knows
		if status, answer, err := s.call(a, http.MethodGet, masterapi.PathInspect, ""); err != nil ||
			status != http.StatusOK && status != http.StatusForbidden {
			t.Errorf("%s calls the master: %d, %s, %v", a.service, status, answer, err)
		}
	}
	l.end()
}

// kill -9 of the master at random moments, also while the one before adopts what runs.
func TestMasterKilled(t *testing.T) {
	kills := 5
	if os.Getenv("BAETYL_TEST_ALL") != "" {
		kills = 100
	}
	seed := time.Now().UnixNano()
	t.Logf("%d kills, seed %d", kills, seed)
	random := rand.New(rand.NewSource(seed))
	underLoad(t, func(*system) {}, func(s *system) {
		for range kills {
			limit := 100 * time.Millisecond // while it starts
			if random.Intn(2) == 0 {
				limit = 2 * time.Second // while all is quiet
			}
			<-time.After(time.Duration(random.Int63n(int64(limit))))
			s.killMaster()
		}
	})
}

// The master is replaced as an administrator does: by `baetyl restart`, and by an update to another version, whose
// keeper replaces the running one.
func TestMasterReplaced(t *testing.T) {
	const update = "var/db/baetyl/master/2"
	underLoad(t, func(s *system) {
		s.withUpdates()
		must(t, os.MkdirAll(s.path(update+"/bin"), 0o755))
		buildMaster(t, "second", s.path(update+"/bin/baetyl"))
	}, func(s *system) {
		first := s.master()
		for range 2 {
			if out, err := exec.Command(s.path("bin/baetyl"), "restart").CombinedOutput(); err != nil {
				t.Fatalf("baetyl restart: %v\n%s", err, out)
			}
			if now := s.master(); now == first {
				t.Error("the master is the same after baetyl restart")
			}
		}
		got := s.installed("second", fmt.Sprintf(`{"type":"MST","path":%q,"trace":"second"}`, update))
		if got.Step != masterapi.StepUpdated {
			t.Fatalf("the update to another master: %+v", got)
		}
		s.logged("the keeper was replaced", "processes run on") // by the one of the new version
		in, err := s.inspect()
		must(t, err)
		if in.Software.BinVersion != "second" {
			t.Errorf("inspect shows version %q", in.Software.BinVersion)
		}
	})
}

// buildMaster builds this program as another version, whose keeper differs too.
func buildMaster(t *testing.T, version, target string) {
	t.Helper()
	dir := t.TempDir()
	part, overlay := filepath.Join(dir, "part.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(part, []byte("package keeper\n\nconst Part = \"of the test\"\n"), 0o644))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "keeper/part.go"): part}})
	must(t, err)
	must(t, os.WriteFile(overlay, text, 0o644))
	must(t, run([]string{"CGO_ENABLED=0"}, "go", "build", "-overlay", overlay, "-tags", "grpcnotrace,nethttpomithttp2",
		"-ldflags", "-X github.com/baetyl/baetyl/cmd.Version="+version, "-o", target, "."))
}

// kill -9 of the keeper: native services end with it, and containers run on. The next start works, and goes on with
// the containers.
func TestKeeperKilled(t *testing.T) {
	besideOthers(t)
	s := startFlow(t)
	before := s.processes()
	if len(before) < 5 {
		t.Fatalf("only %v run", before)
	}
	s.killKeeper()
	if mode == masterapi.ModeNative {
		s.eventually("everything has ended", func() error {
			if left := s.everyProcess(); len(left) > 0 {
				return fmt.Errorf("there are %q", left)
			}
			return nil
		})
	}
	since := time.Now()
	s.startMaster()
	s.whole(since)
	after := s.processes()
	for _, p := range before {
		kept := false
		for _, now := range after {
			kept = kept || now.pid == p.pid
		}
		if kept != (mode == masterapi.ModeDocker) {
			t.Errorf("%s was process %d; now run %v", p.service, p.pid, after)
		}
	}
}

// Ctrl-C and SIGTERM stop every service within the grace time, and leave no process, socket, run folder or cgroup.
func TestStopLeavesNothingBehind(t *testing.T) {
	besideOthers(t)
	s := newSystem(t)
	answering(t)
	s.replace(timerFile, "interval: 10s", "interval: 200ms")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} { // it starts again after the first
		s.start()
		s.subscribe("t/py3hi").wait("t/py3hi") // now function instances run too
		groups := s.cgroups()
		if mode == masterapi.ModeNative && len(groups) == 0 {
			t.Errorf("no cgroup of a service was found")
		}
		pid := s.cmd.Process.Pid
		if sig == syscall.SIGINT { // of a terminal: to the foreground process group
			pid = -pid
		}
		started := time.Now()
		if code := s.stop(pid, sig); code != 0 {
			t.Errorf("%v: the keeper ended with exit code %d", sig, code)
		}
		if took := time.Since(started); took > 25*time.Second {
			t.Errorf("%v: stopping took %v", sig, took)
		}
		if left := s.everyProcess(); len(left) != 0 {
			t.Errorf("%v: processes are left: %q", sig, left)
		}
		for _, group := range groups {
			if _, err := os.Stat(group); err == nil {
				t.Errorf("%v: %s is left", sig, group)
			}
		}
		left, err := filepath.Glob(s.path("var/run/baetyl/services/*"))
		must(t, err)
		for _, name := range []string{"var/run/baetyl.sock", masterapi.AdminSocket} {
			if _, err := os.Lstat(s.path(name)); err == nil {
				left = append(left, name)
			}
		}
		if len(left) > 0 {
			t.Errorf("%v: %q are left", sig, left)
		}
	}
}

// cgroups are the folders of the cgroups that services of the system are in, with that of the system.
func (s *system) cgroups() (out []string) {
	if mode != masterapi.ModeNative {
		return nil // the docker daemon sees to them
	}
	seen := map[string]bool{}
	for _, p := range s.processes() {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid))
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.SplitN(line, ":", 3)
			if len(fields) < 3 || !strings.Contains(fields[2], "/baetyl.") {
				continue
			}
			for _, group := range []string{fields[2], filepath.Dir(fields[2])} {
				path := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(fields[1], "name="), group)
				if _, err := os.Stat(path); err == nil && !seen[path] {
					seen[path] = true
					out = append(out, path)
				}
			}
		}
	}
	return out
}
