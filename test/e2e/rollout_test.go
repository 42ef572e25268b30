//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A cloud pushes two versions, then one that does not stay up, then a good one.
func TestRollout(t *testing.T) {
	besideOthers(t)
	s := newSystem(t)
	c := s.startCloud()
	hub, agent := s.one("localhub").pid, s.one("agent").pid
	c.update("v1")
	c.update("v2")
	trace := c.push(c.application("v3", true))
	if last := c.ended(trace); last != "ROLLEDBACK" {
		t.Errorf("the broken version ended with %s", last)
	}
	steps := c.steps(trace)
	for i, want := range []string{"RECEIVED", "UPDATING", "ROLLINGBACK", "ROLLEDBACK"} {
		if i >= len(steps) || !strings.HasPrefix(steps[i], want) {
			t.Errorf("step %d is not %s: %q", i, want, steps)
		}
	}
	if all := strings.Join(steps, "\n"); !strings.Contains(all, "timer") {
		t.Errorf("the steps don't name the service that ended: %q", steps)
	}
	c.runs("v2")
	c.update("v4")
	s.eventually("what only older versions need is removed", func() error {
		for _, volume := range []string{"timer-conf", "app"} {
			left, err := filepath.Glob(s.path("var/db/baetyl/" + volume + "/[0-9a-f]*"))
			if err != nil {
				return err
			}
			if len(left) != 1 {
				return fmt.Errorf("%s has %q", volume, left)
			}
		}
		return nil
	})
	if now := s.one("localhub").pid; now != hub {
		t.Errorf("the hub did not change and was started again: %d is now %d", hub, now)
	}
	if now := s.one("agent").pid; now != agent {
		t.Errorf("the agent did not change and was started again: %d is now %d", agent, now)
	}
}

// kill -9 of everything at ten moments of a rollout, of a good version and of a broken one in turn: the update is
// finished or rolled back, the cloud is told which, and that application runs.
func TestRolloutKilled(t *testing.T) {
	besideOthers(t)
	s := newSystem(t)
	c := s.startCloud()
	started := time.Now()
	c.update("v1")
	took := time.Since(started)
	t.Logf("an update takes %v", took.Round(time.Millisecond))
	const moments = 10
	step := 1
	if mode == masterapi.ModeDocker && os.Getenv("ROLLOUT_ALL") == "" {
		step = 3 // CI has twenty minutes for everything
	}
	current := "v1"
	for i := 0; i < moments; i += step {
		version, broken := fmt.Sprintf("k%d", i), i%2 == 1
		trace := c.push(c.application(version, broken))
		// The moments are closer together at the beginning, where more happens.
		after := took * time.Duration(i*i) / ((moments - 1) * (moments - 1))
		<-time.After(after)
		c.killEverything()
		c.start()
		s.startMaster()
		last := c.ended(trace)
		t.Logf("killed after %v, broken %v: %q", after.Round(time.Millisecond), broken, c.steps(trace))
		switch {
		case last == "UPDATED" && !broken:
			current = version
		case last != "ROLLEDBACK":
			t.Fatalf("the update to %s (broken: %v) ended with %s", version, broken, last)
		}
		c.runs(current)
	}
	c.update("v2")
}

// A cloud replaces the master by another one, which then runs, and by two that pass their own checks and exit at the
// start: one that says it knows a keeper, and one of before there was one, for which all services are stopped.
func TestMasterRollout(t *testing.T) {
	besideOthers(t)
	s := newSystem(t)
	c := s.startCloud()
	next := filepath.Join(t.TempDir(), "baetyl")
	buildMaster(t, "next", next)
	const answers = "#!/bin/sh\n[ \"$1\" = check ] && exec echo 'OK!'\n[ \"$1\" = version ] && exec echo "
	bad, plain := filepath.Join(t.TempDir(), "baetyl"), filepath.Join(t.TempDir(), "baetyl")
	must(t, os.WriteFile(bad, []byte(answers+"'Keeper: 1'\n"), 0o755))
	must(t, os.WriteFile(plain, []byte(answers+"'Version: 0'\n"), 0o755))
	for _, step := range []struct{ binary, want string }{{next, "UPDATED"}, {bad, "ROLLEDBACK"}, {plain, "ROLLEDBACK"}} {
		trace := c.push(step.binary, "--master")
		if last := c.ended(trace); last != step.want {
			t.Fatalf("the update ended with %s: %q", last, c.steps(trace))
		}
		t.Logf("%q", c.steps(trace))
		s.eventually("the new master runs", func() error { return c.shows(" next ") })
		c.runs("v0")
	}
	c.update("v1")
}
