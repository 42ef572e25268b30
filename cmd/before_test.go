package cmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// commitBefore is the last commit of the version without a keeper, and oldVersion what its program calls itself here.
const (
	commitBefore = "f7a1501"
	oldVersion   = "0.9.0"
)

// versionBefore is the real program of the version without a keeper, built from this repository. Without paths in it
// the next run finds it in the cache of the compiler.
var versionBefore = sync.OnceValues(func() (string, error) {
	if _, err := versions(); err != nil {
		return "", err
	}
	dir := filepath.Join(built, "before")
	script := "mkdir $1 && git -C .. archive " + commitBefore + " | tar -x -C $1 && cd $1 && " +
		"go build -trimpath -o $2 -ldflags '-X github.com/baetyl/baetyl/cmd.Version=" + oldVersion + "' ."
	out := filepath.Join(built, "baetyl-"+oldVersion)
	if text, err := exec.Command("sh", "-c", script, "sh", dir, out).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build version before: %w: %s", err, text)
	}
	return out, nil
})

const (
	oldMaster = "var/db/baetyl/master/0.9.0"
	failing   = "var/db/baetyl/m"
)

// newDeviceBefore is a device with the version before, or this one, that can update to the other. Its configuration has
// no key that one of them does not know.
func newDeviceBefore(t *testing.T, program string) *device {
	out, err := exec.Command("git", "-C", "..", "cat-file", "-e", commitBefore+"^{commit}").CombinedOutput()
	if err != nil {
		t.Skipf("commit %s, the version before, is not here (a shallow clone?): %v %s", commitBefore, err, out)
	}
	old, err := versionBefore()
	require.NoError(t, err)
	d := newUpdatedDevice(t)
	d.configure(t, "grace: 3s\nupdate: {healthy: 500ms, deadline: 1m}")
	d.copy(t, old, oldMaster+"/bin/baetyl")
	if program == oldVersion {
		require.NoError(t, os.Remove(d.path("bin/baetyl")))
		d.copy(t, old, "bin/baetyl")
	}
	return d
}

// renew updates the master and checks that there is one end.
func (s *supervisor) renew(path, trace, program string) {
	s.t.Helper()
	require.NoError(s.t, s.put(toMaster(path, trace)))
	final := s.d.awaitFinal(s.t, trace)
	require.Equal(s.t, masterapi.StepUpdated, final.Step, final.Error)
	in := s.d.awaitIdle(s.t, "v1", program)
	require.Empty(s.t, in.Error)
	s.d.await(s.t, 3)
	steps := []string{"UPDATING", "RESTARTING", "RESTARTED", "UPDATED"}
	require.Equal(s.t, steps, s.d.steps(s.t, trace))
	s.onlyEnded(s.t)
}

// onlyEnded checks that the program has only ended by itself: the version before does, to be started again with its
// candidate. The master of a candidate ends right after its keeper was killed: a version before that starts in that
// moment finds another master, says so and is started again.
func (s *supervisor) onlyEnded(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	met := strings.Count(s.output.String(), "another master runs in")
	for _, how := range s.ends {
		if how == "exit status 1" && met > 0 {
			met--
			continue
		}
		require.Equal(t, "exit status 0", how)
	}
}

// The version before, which has no keeper, updates to this one, and this one to it: with real programs and services.
func TestUpdateFromAndToTheVersionBefore(t *testing.T) {
	t.Parallel()
	t.Run("there and back", func(t *testing.T) {
		t.Parallel()
		d := newDeviceBefore(t, oldVersion)
		s := d.supervise(t)
		first := d.await(t, 3)
		s.renew(newMaster, "t1", "2.0.0")
		require.True(t, disjoint(first, d.processes()), "services belong to the new master")
		s.renew(oldMaster, "t2", oldVersion)
		for i := range times(0, 3) {
			s.renew(newMaster, fmt.Sprint("there", i), "2.0.0")
			s.renew(oldMaster, fmt.Sprint("back", i), oldVersion)
		}
		s.stop()
		require.Empty(t, d.processes())
		s = d.supervise(t)
		d.await(t, 3)
		s.renew(newMaster, "t3", "2.0.0")
		s.stop()
		require.Empty(t, d.processes())
		s = d.supervise(t) // started as this version from the beginning
		d.await(t, 3)
		d.awaitIdle(t, "v1", "2.0.0")
		s.renew(oldMaster, "t4", oldVersion)
	})
	for name, c := range map[string]struct{ program, candidate, version string }{
		"this one fails":           {oldVersion, newMaster, "Keeper:       1"},
		"the version before fails": {"1.0.0", oldMaster, "Version:      " + oldVersion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeviceBefore(t, c.program)
			// A real one, which is killed while it starts services.
			d.write(t, failing+"/bin/baetyl", strings.Join([]string{
				"#!/bin/sh", `[ "$1" = check ] && { echo 'OK!'; exit 0; }`,
				`[ "$1" = version ] && { echo '` + c.version + `'; exit 0; }`,
				d.path(c.candidate+"/bin/baetyl") + ` "$@" -w ` + d.dir + ` & sleep 0.4; kill -9 $!; exit 7`, "",
			}, "\n"), 0o755)
			s := d.supervise(t)
			d.await(t, 3)
			require.NoError(t, s.put(toMaster(failing, "t1")))
			final := d.awaitFinal(t, "t1")
			require.Equal(t, masterapi.StepRolledBack, final.Step, final.Error)
			require.NotEmpty(t, d.awaitIdle(t, "v1", c.program).Error)
			d.await(t, 3)
			require.Len(t, d.workers(), 2)
			s.onlyEnded(t)
			s.renew(c.candidate, "t2", map[string]string{oldVersion: "2.0.0", "1.0.0": oldVersion}[c.program])
		})
	}
}
