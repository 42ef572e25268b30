package cmd_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	t.Run("native", func(t *testing.T) { masterUpdate(t, newUpdatedDevice(t)) })
	t.Run("docker", func(t *testing.T) { masterUpdate(t, newUpdatedDevice(t).inContainers(t)) })
}

func masterUpdate(t *testing.T, d *device) {
	s := d.supervise(t, "")
	d.await(t, 3)
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
	d.await(t, 3)
	require.Equal(t, []string{"exit status 0"}, s.ends, "the new master is not started again")

	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t2"}), "it takes updates")
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
	d.copy(t, mustVersion(t, "1.0.0"), "var/db/baetyl/master/back")
	require.NoError(t, s.put(toMaster("var/db/baetyl/master/back", "t3")), "a file, not a folder")
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t3").Step)
	d.awaitIdle(t, "v2", "1.0.0")
	d.await(t, 3)

	// A new master that is killed while its services run: the old one ends them, and runs its own.
	d.write(t, "var/db/baetyl/m/bin/baetyl", fmt.Sprintf(
		"#!/bin/sh\n[ \"$1\" = check ] && { echo 'OK!'; exit 0; }\n%s \"$@\" 3>/dev/null &\nsleep 4\nkill -9 $!\nexit 1\n",
		mustVersion(t, "2.0.0"),
	), 0o644)
	require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t4")))
	require.Equal(t, masterapi.StepRolledBack, d.awaitFinal(t, "t4").Step)
	d.awaitIdle(t, "v2", "1.0.0")
	d.await(t, 3)
}

func mustVersion(t *testing.T, version string) string {
	programs, err := versions()
	require.NoError(t, err)
	return programs[version]
}

// The program is not in bin of the working directory.
func TestMasterUpdateWithWorkdirElsewhere(t *testing.T) {
	d := newUpdatedDevice(t)
	programs, err := os.MkdirTemp("", "bp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(programs) })
	d.copy(t, mustVersion(t, "1.0.0"), "program")
	require.NoError(t, os.Rename(d.path("program"), filepath.Join(programs, "master")))
	require.NoError(t, os.RemoveAll(d.path("bin")))
	require.NoError(t, os.Mkdir(d.path("bin"), 0o755))
	d.write(t, "bin/baetyl", fmt.Sprintf("#!/bin/sh\nexec %s/master \"$@\" -w %s\n", programs, d.dir), 0o755)
	s := d.supervise(t, "")
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
	d := newUpdatedDevice(t)
	s := d.supervise(t, "")
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
		began := time.Now()
		err := s.put(toMaster("var/db/baetyl/m/"+name, "t"))
		require.True(t, isStatus(err, 422), "%s: %v", name, err)
		require.ErrorContains(t, err, want, name)
		require.Less(t, time.Since(began), 10*time.Second)
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
	const check = "#!/bin/sh\n[ \"$1\" = check ] && { echo 'OK!'; exit 0; }\n"
	for name, c := range map[string]struct{ script, want string }{
		"ends at once":           {check + "exit 0\n", "it ended before it had started the application"},
		"fails at once":          {check + "exit 7\n", "it ended before it had started the application"},
		"says why":               {check + "echo 'error no such key' >&3; exit 1\n", "no such key"},
		"hangs":                  {check + "exec sleep 60\n", "it has not started the application within 2s"},
		"hangs, ignores SIGTERM": {check + "trap '' TERM\nwhile :; do sleep 0.1; done\n", "within 2s"},
		"ready, and exits":       {check + "echo ready >&3\nexit 1\n", "it did not stay up for 300ms"},
		"closes its pipe":        {check + "exec 3>&-\nexec sleep 60\n", "within 2s"},
		"writes without end":     {check + "while :; do echo x; done >&3\n", "within 2s"},
		"a child holds its pipe": {check + "sleep 5 & exit 1\n", "it ended before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newUpdatedDevice(t)
			d.configure(t, "grace: 1s\nupdate: {healthy: 300ms, deadline: 2s}")
			d.write(t, "var/db/baetyl/m/bin/baetyl", c.script, 0o644)
			s := d.supervise(t, "")
			d.await(t, 3)
			require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t1")))
			final := d.awaitFinal(t, "t1")
			require.Equal(t, masterapi.StepRolledBack, final.Step)
			require.Contains(t, final.Error, c.want)
			require.Contains(t, d.awaitIdle(t, "v1", "1.0.0").Error, c.want)
			require.Equal(t, []string{"UPDATING", "RESTARTING", "RESTARTED", "ROLLINGBACK", "ROLLEDBACK"}, d.steps(t, "t1"))
			d.await(t, 3)
			require.NoError(t, s.put(toMaster(newMaster, "t2")), "the next one")
			require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
			d.awaitIdle(t, "v1", "2.0.0")
		})
	}
}

// What breaks after the check: the configuration is no longer one that the new master takes, or the application does
// not run.
func TestMasterUpdateAndItsSurroundings(t *testing.T) {
	t.Run("the application does not run", func(t *testing.T) {
		d := newUpdatedDevice(t)
		d.write(t, "var/db/baetyl/application.yml", fmt.Sprintf(updated, "v1", "exit"), 0o644)
		s := d.supervise(t, "")
		require.Eventually(t, func() bool { return len(d.processes()) > 0 }, 10*time.Second, 10*time.Millisecond,
			"service loop does not run")
		require.NoError(t, s.put(toMaster(newMaster, "t1")))
		require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step, "that is not the binary's fault")
		d.awaitIdle(t, "v1", "2.0.0")
	})
	t.Run("a signal while it is tried", func(t *testing.T) {
		d := newUpdatedDevice(t)
		d.write(t, "var/db/baetyl/m/bin/baetyl",
			"#!/bin/sh\n[ \"$1\" = check ] && { echo 'OK!'; exit 0; }\ntouch begun; exec sleep 60\n", 0o644)
		d.configure(t, "update: {healthy: 300ms, deadline: 1m}")
		s := d.supervise(t, "")
		d.await(t, 3)
		require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t1")))
		require.Eventually(t, func() bool { _, err := os.Stat(d.path("begun")); return err == nil }, 10*time.Second,
			10*time.Millisecond, "it is not tried")
		s.stop()
		record, err := os.ReadFile(d.path("var/db/baetyl/update.json"))
		require.NoError(t, err)
		require.NotContains(t, string(record), "starts", "it does not count")
		d.configure(t, "update: {healthy: 300ms, deadline: 1s}")
		d.supervise(t, "")
		require.Equal(t, masterapi.StepRolledBack, d.awaitFinal(t, "t1").Step)
		d.awaitIdle(t, "v1", "1.0.0")
	})
}

// The old or the new master is killed at each point of an update. One of them serves afterwards, the application
// runs, the log has one end, and the next update works. This is the table of docs/reliability.md.
func TestMasterUpdateKilledAtEachPoint(t *testing.T) {
	for point, want := range map[string]string{ // version of the master afterwards
		"staged":              "1.0.0",
		"accepted":            "2.0.0",
		"restarting":          "2.0.0",
		"candidate counted":   "2.0.0",
		"candidate started":   "2.0.0",
		"candidate ready":     "2.0.0",
		"candidate committed": "2.0.0",
		"recorded":            "2.0.0",
		"candidate failed":    "1.0.0",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			d := newUpdatedDevice(t)
			path := newMaster
			if point == "candidate failed" {
				d.write(t, "var/db/baetyl/m/bin/baetyl", "#!/bin/sh\n[ \"$1\" = check ] && echo 'OK!'\n", 0o644)
				path = "var/db/baetyl/m"
			}
			s := d.supervise(t, point)
			d.await(t, 3)
			_ = s.put(toMaster(path, "t1")) // killed, perhaps before it has answered
			if point == "staged" {          // not accepted yet: there is no trace of it
				require.Eventually(t, s.killed, 10*time.Second, 10*time.Millisecond, "not killed")
				d.awaitIdle(t, "v1", want)
				require.NoFileExists(t, d.path(masterapi.OTALog))
			} else {
				step := map[string]string{"1.0.0": masterapi.StepRolledBack, "2.0.0": masterapi.StepUpdated}[want]
				require.Equal(t, step, d.awaitFinal(t, "t1").Step)
			}
			d.awaitIdle(t, "v1", want)
			require.True(t, s.killed(), "the point was not passed")
			d.await(t, 3)
			require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t2"}))
			require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
			require.Empty(t, d.awaitIdle(t, "v3", want).Error)
		})
	}
}

// A candidate that kills the master that tries it, as a crash of the machine would, is tried three times.
func TestMasterUpdateCountsStarts(t *testing.T) {
	d := newUpdatedDevice(t)
	d.write(t, "var/db/baetyl/m/bin/baetyl",
		"#!/bin/sh\n[ \"$1\" = check ] && { echo 'OK!'; exit 0; }\nkill -9 $PPID\nexec sleep 60\n", 0o644)
	s := d.supervise(t, "")
	d.await(t, 3)
	require.NoError(t, s.put(toMaster("var/db/baetyl/m", "t1")))
	final := d.awaitFinal(t, "t1")
	require.Equal(t, masterapi.StepRolledBack, final.Step)
	require.Contains(t, final.Error, "started 3 times without becoming ready")
	d.awaitIdle(t, "v1", "1.0.0")
	d.await(t, 3)
}

// A second master in the directory is refused before it touches anything, also what an update of the first one has on
// disk.
func TestSecondMasterTouchesNothing(t *testing.T) {
	d := newBusyDevice(t)
	c, _ := d.start(t)
	d.await(t, 4)
	d.write(t, "bin/baetyl.new", "candidate", 0o755)
	record := `{"type":"MST","trace":"t1","sha256":"00","starts":3}`
	d.write(t, "var/db/baetyl/update.json", record, 0o600)
	out, status := d.run("start")
	require.Equal(t, 1, status)
	require.Contains(t, out, "another master runs in")
	require.FileExists(t, d.path("bin/baetyl.new"))
	left, err := os.ReadFile(d.path("var/db/baetyl/update.json"))
	require.NoError(t, err)
	require.Equal(t, record, string(left))
	require.NoFileExists(t, d.path(masterapi.OTALog))
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
}
