package cmd_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

const newMaster = "var/db/baetyl/master/2.0.0"

func toMaster(path, trace string) masterapi.UpdateRequest {
	return masterapi.UpdateRequest{Type: masterapi.UpdateMaster, Path: path, Trace: trace}
}

// One real master replaces another one, and is replaced itself.
func TestMasterUpdate(t *testing.T) {
	t.Run("native", func(t *testing.T) { t.Parallel(); masterUpdate(t, newUpdatedDevice(t)) })
	t.Run("docker", func(t *testing.T) { t.Parallel(); masterUpdate(t, newUpdatedDevice(t).inContainers(t)) })
}

func masterUpdate(t *testing.T, d *device) {
	s := d.supervise(t)
	services := d.await(t, 3)
	r := toMaster(newMaster, "t1")
	r.SHA256 = sha256Of(t, d.path(newMaster+"/bin/baetyl"))
	require.NoError(t, s.put(r))
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
	require.Empty(t, d.awaitIdle(t, "v1", "2.0.0").Error)
	require.Equal(t, []string{"UPDATING", "RESTARTING", "RESTARTED", "UPDATED"}, d.steps(t, "t1"))
	for _, r := range d.records(t) {
		require.Equal(t, "MST", r.Type)
	}
	require.Equal(t, r.SHA256, sha256Of(t, d.path("bin/baetyl")))
	require.Equal(t, services, d.processes(), "services run on")
	require.Empty(t, s.ends, "so does the keeper")

	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t2"}), "it takes updates")
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
	services = d.await(t, 3)
	d.copy(t, mustVersion(t, "1.0.0"), "var/db/baetyl/master/back")
	require.NoError(t, s.put(toMaster("var/db/baetyl/master/back", "t3")), "a file, not a folder")
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t3").Step)
	d.awaitIdle(t, "v2", "1.0.0")

	// A new master that is killed while it is tried: the old one goes on, and services know of nothing.
	d.write(t, "var/db/baetyl/m/bin/baetyl", candidate+
		"sleep 2\nkill -9 $$\n", 0o644)
	require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t4")))
	require.Equal(t, masterapi.StepRolledBack, d.awaitFinal(t, "t4").Step)
	d.awaitIdle(t, "v2", "1.0.0")
	require.Equal(t, services, d.processes())
	require.Empty(t, s.ends)
}

// candidate begins a script that can be a candidate.
const candidate = "#!/bin/sh\n[ \"$1\" = check ] && { echo 'OK!'; exit 0; }\n" +
	"[ \"$1\" = version ] && { echo 'Keeper:       1'; exit 0; }\n"

func mustVersion(t *testing.T, version string) string {
	programs, err := versions()
	require.NoError(t, err)
	return programs[version]
}

// The program is not in bin of the working directory.
func TestMasterUpdateWithWorkdirElsewhere(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	programs, err := os.MkdirTemp("", "bp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(programs) })
	d.copy(t, mustVersion(t, "1.0.0"), "program")
	require.NoError(t, os.Rename(d.path("program"), filepath.Join(programs, "master")))
	require.NoError(t, os.RemoveAll(d.path("bin")))
	require.NoError(t, os.Mkdir(d.path("bin"), 0o755))
	d.write(t, "bin/baetyl", fmt.Sprintf("#!/bin/sh\nexec %s/master \"$@\" -w %s\n", programs, d.dir), 0o755)
	s := d.supervise(t)
	d.await(t, 3)
	require.NoError(t, s.put(toMaster(newMaster, "t1")))
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
	d.awaitIdle(t, "v1", "2.0.0")
	entries, err := os.ReadDir(programs)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
}

// A candidate that cannot be the master is refused, and nothing is changed.
func TestMasterUpdateRefused(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	d.configure(t, "grace: 3s\nupdate: {healthy: 300ms, deadline: 5s}") // one of them gives no answer
	s := d.supervise(t)
	before := d.await(t, 3)
	write := func(name, text string) { d.write(t, "var/db/baetyl/m/"+name, text, 0o644) }
	garbage := make([]byte, 100_000)
	_, _ = rand.Read(garbage)
	write("garbage", string(garbage))
	write("empty", "")
	write("no", "#!/bin/sh\necho wrong configuration >&2\nexit 1\n")
	write("silent", "#!/bin/sh\nexit 0\n")
	write("contradicts", "#!/bin/sh\necho 'OK!'\nexit 1\n")
	write("hangs", "#!/bin/sh\nsleep 60\n")
	require.NoError(t, os.Mkdir(d.path("var/db/baetyl/m/folder"), 0o755))
	require.NoError(t, os.Symlink("/bin/true", d.path("var/db/baetyl/m/out")))
	for name, want := range map[string]string{
		"garbage":     "check master: ",
		"empty":       "check master: ",
		"no":          "check master: exit status 1: wrong configuration",
		"silent":      "OK! expected",
		"contradicts": "check master: exit status 1",
		"hangs":       "no answer in time",
		"folder":      "no such file",
		"out":         "is not below var/db/baetyl",
		"none":        "no such file",
	} {
		err := s.put(toMaster("var/db/baetyl/m/"+name, "t"))
		require.True(t, isStatus(err, 422), "%s: %v", name, err)
		require.ErrorContains(t, err, want, name)
	}
	wrong := toMaster(newMaster, "t")
	wrong.SHA256 = "00"
	require.ErrorContains(t, s.put(wrong), "sha256")
	require.ErrorContains(t, s.put(toMaster("bin/baetyl", "t")), "is not below")
	require.ErrorContains(t, s.put(toMaster("baetyl", "t")), "no such file", "PATH is not searched")
	require.NoFileExists(t, d.path(masterapi.OTALog))
	require.NoFileExists(t, d.path("bin/baetyl.new"))
	require.Equal(t, before, d.processes())
	require.Empty(t, s.ends)
}

// A candidate that passes its check and does not work as a master: the old one continues.
func TestMasterUpdateRolledBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"ends at once":           {"exit 0\n", "try new master: "},
		"fails at once":          {"exit 7\n", "try new master: "},
		"hangs":                  {"exec sleep 60\n", "2s"},
		"hangs, ignores SIGTERM": {"trap '' TERM\nwhile :; do sleep 0.1; done\n", "2s"},
		"closes its connection":  {"exec 3>&-\nexec sleep 60\n", "try new master: "},
		"writes rubbish":         {"echo rubbish >&3; while :; do echo x; done\n", "try new master: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newUpdatedDevice(t)
			d.configure(t, "grace: 1s\nupdate: {healthy: 300ms, deadline: 2s}")
			d.write(t, "var/db/baetyl/m/bin/baetyl", candidate+c.script, 0o644)
			s := d.supervise(t)
			services := d.await(t, 3)
			require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t1")))
			final := d.awaitFinal(t, "t1")
			require.Equal(t, masterapi.StepRolledBack, final.Step)
			require.Contains(t, final.Error, c.want)
			require.Contains(t, d.awaitIdle(t, "v1", "1.0.0").Error, c.want)
			require.Equal(t, []string{"UPDATING", "RESTARTING", "RESTARTED", "ROLLINGBACK", "ROLLEDBACK"}, d.steps(t, "t1"))
			require.Equal(t, services, d.processes())
			d.configure(t, "grace: 1s\nupdate: {healthy: 300ms, deadline: 1m}")
			_, code := d.run("reload")
			require.Zero(t, code)
			require.NoError(t, s.put(toMaster(newMaster, "t2")), "the next one")
			require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
			d.awaitIdle(t, "v1", "2.0.0")
			require.Equal(t, services, d.processes())
			require.Empty(t, s.ends)
		})
	}
}

// What breaks after the check: the configuration is no longer one that the new master takes, or the application does
// not run.
func TestMasterUpdateAndItsSurroundings(t *testing.T) {
	t.Parallel()
	t.Run("the application does not run", func(t *testing.T) {
		t.Parallel()
		d := newUpdatedDevice(t)
		d.write(t, "var/db/baetyl/application.yml", fmt.Sprintf(updated, "v1", "exit"), 0o644)
		s := d.supervise(t)
		require.Eventually(t, func() bool { return len(d.processes()) > 0 }, time.Minute, 10*time.Millisecond,
			"service loop does not run")
		require.NoError(t, s.put(toMaster(newMaster, "t1")))
		require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step, "that is not the binary's fault")
		d.awaitIdle(t, "v1", "2.0.0")
	})
	t.Run("a signal while it is tried", func(t *testing.T) {
		t.Parallel()
		d := newUpdatedDevice(t)
		d.configure(t, "grace: 3s\nupdate: {healthy: 1m, deadline: 2m}")
		s := d.supervise(t)
		d.await(t, 3)
		require.NoError(t, s.put(toMaster(newMaster, "t1")))
		d.awaitProgram(t, "2.0.0")
		s.stop()
		require.Empty(t, d.processes())
		record, err := os.ReadFile(d.path("var/db/baetyl/update.json"))
		require.NoError(t, err)
		require.NotContains(t, string(record), "starts", "it does not count")
		d.configure(t, "grace: 3s\nupdate: {healthy: 300ms, deadline: 1m}")
		d.supervise(t)
		require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
		d.awaitIdle(t, "v1", "2.0.0")
	})
}

// awaitProgram waits until a master of that version serves.
func (d *device) awaitProgram(t *testing.T, version string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var in masterapi.Inspect
		err := d.client(t, "loop").Get(context.Background(), masterapi.PathInspect, &in)
		return err == nil && in.Software.BinVersion == version
	}, time.Minute, 20*time.Millisecond, "master %s does not serve", version)
}

// The old or the new master is killed at each point of an update, alone or with its keeper. One of them serves
// afterwards, the application runs, the log has one end, and the next update works. This is the table of
// docs/reliability.md.
func TestMasterUpdateKilledAtEachPoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ point, alone, both string }{ // version of the master afterwards
		{"staged", "1.0.0", "1.0.0"},
		{"accepted", "2.0.0", "2.0.0"},
		{"restarting", "2.0.0", "2.0.0"},
		{"candidate counted", "2.0.0", "2.0.0"},
		{"candidate started", "1.0.0", "2.0.0"},
		{"candidate committed", "2.0.0", "2.0.0"},
		{"recorded", "2.0.0", "2.0.0"},
		{"candidate failed", "1.0.0", "1.0.0"},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			masterKilledAt(t, "BAETYL_FAULT", c.point, c.alone)
		})
		t.Run(c.point+", and the keeper", func(t *testing.T) {
			t.Parallel()
			masterKilledAt(t, "BAETYL_FAULT_KEEPER", c.point, c.both)
		})
	}
}

// masterKilledAt lets a master be killed at point, as the variable says. want is the version that serves afterwards.
func masterKilledAt(t *testing.T, variable, point, want string) {
	d := newUpdatedDevice(t)
	path := newMaster
	if point == "candidate failed" {
		d.write(t, "var/db/baetyl/m/bin/baetyl", candidate, 0o644)
		path = "var/db/baetyl/m"
	}
	s := d.supervise(t, variable+"="+point)
	services := d.await(t, 3)
	_ = s.put(toMaster(path, "t1")) // killed, perhaps before it has answered
	if point == "staged" {          // not accepted yet: there is no trace of it
		require.Eventually(t, s.killed, time.Minute, 10*time.Millisecond, "not killed")
		d.awaitIdle(t, "v1", want)
		require.NoFileExists(t, d.path(masterapi.OTALog))
	} else {
		step := map[string]string{"1.0.0": masterapi.StepRolledBack, "2.0.0": masterapi.StepUpdated}[want]
		require.Equal(t, step, d.awaitFinal(t, "t1").Step)
	}
	d.awaitIdle(t, "v1", want)
	require.True(t, s.killed(), "the point was not passed")
	d.await(t, 3)
	if variable == "BAETYL_FAULT" {
		require.Equal(t, services, d.processes(), "services run on")
	}
	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t2"}))
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
	require.Empty(t, d.awaitIdle(t, "v3", want).Error)
}

// A candidate that kills the keeper that tries it, as a crash of the machine would, is tried three times.
func TestMasterUpdateCountsStarts(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	d.write(t, "var/db/baetyl/m/bin/baetyl", candidate+"kill -9 $PPID\nexec sleep 60\n", 0o644)
	s := d.supervise(t)
	d.await(t, 3)
	require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t1")))
	final := d.awaitFinal(t, "t1")
	require.Equal(t, masterapi.StepRolledBack, final.Step)
	require.Contains(t, final.Error, "started 3 times without becoming ready")
	d.awaitIdle(t, "v1", "1.0.0")
	d.await(t, 3)
}
