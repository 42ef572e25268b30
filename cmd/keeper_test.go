package cmd_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// copies are the processes of application: loop, loop.i1, child, and what that has started.
const copies = 4

// times is how often something is done: all of it with BAETYL_TEST_ALL.
func times(short, all int) int {
	if os.Getenv("BAETYL_TEST_ALL") != "" {
		return all
	}
	return short
}

// kills is how often the master of one device is killed: each time the next one is started a little later.
const kills = 7

// kill -9 of the master, again and again, whatever it is doing: its services run on with their process ids, and the
// instance that was started on demand too; the token stays.
func TestKilledMaster(t *testing.T) {
	t.Parallel()
	for n := range times(3, 14) {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			c, _ := d.start(t)
			d.await(t, copies)
			api := d.client(t, "loop")
			require.NoError(t,
				api.Put(context.Background(), masterapi.PathInstance("loop", "loop.x.1", "start"), map[string]string{}, nil))
			before := d.await(t, copies+1)
			master := 0
			for round := range kills {
				master = otherMaster(t, c.Process.Pid, master)
				time.Sleep(time.Duration(n*kills+round) * 7 * time.Millisecond) // the moment is what is tested
				require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
				require.Equal(t, before, d.processes())
			}
			otherMaster(t, c.Process.Pid, master)
			var i masterapi.Inspect
			require.Eventually(t, func() bool { return api.Get(context.Background(), masterapi.PathInspect, &i) == nil },
				time.Minute, 20*time.Millisecond, "the API does not answer")
			require.Equal(t, before, d.processes())
			for _, s := range i.Services {
				for _, v := range s.Instances {
					require.Equal(t, masterapi.StatusRunning, v.Status, v.Name)
					require.Zero(t, v.Restarts, v.Name)
				}
			}
			require.NoError(t, c.Process.Signal(syscall.SIGTERM))
			require.NoError(t, c.Wait())
			require.Empty(t, d.processes())
		})
	}
}

// The master is killed at each moment of its first start: in the end one copy of each service runs.
func TestMasterKilledWhileStarting(t *testing.T) {
	t.Parallel()
	for n := range times(2, 8) {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			c, _ := d.start(t)
			master := 0
			for round := range kills {
				master = otherMaster(t, c.Process.Pid, master)
				time.Sleep(time.Duration(n+2*round) * 5 * time.Millisecond) // the moment is what is tested
				require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
			}
			d.answers(t)
			d.await(t, copies)
		})
	}
}

// What ends while there is no master is treated by its policy afterwards, and nothing else is restarted.
func TestServiceEndsWithoutMaster(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	before := d.await(t, copies)
	victim := d.pidOf(t, "loop.i1")
	require.NoError(t, syscall.Kill(otherMaster(t, c.Process.Pid, 0), syscall.SIGKILL))
	require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
	others := slices.DeleteFunc(before, func(p string) bool { return p == strconv.Itoa(victim) })
	require.Eventually(t, func() bool {
		now := d.processes()
		for _, p := range others {
			if !slices.Contains(now, p) {
				t.Errorf("process %s has ended", p)
			}
		}
		return len(now) == copies && !slices.Contains(now, strconv.Itoa(victim))
	}, time.Minute, 20*time.Millisecond, "loop.i1 is not started again")
}

// pidOf is the process of an instance.
func (d *device) pidOf(t *testing.T, instance string) int {
	t.Helper()
	for _, p := range d.processes() {
		env, _ := os.ReadFile("/proc/" + p + "/environ")
		if strings.Contains(string(env), "BAETYL_SERVICE_INSTANCE_NAME="+instance+"\x00") {
			pid, err := strconv.Atoi(p)
			require.NoError(t, err)
			return pid
		}
	}
	require.Fail(t, "no process of "+instance)
	return 0
}

// kill -9 of the keeper: what it has held ends with it, the next one starts everything anew and ends what was left.
func TestKilledKeeper(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	d.write(t, "var/db/baetyl/out/deaf", "", 0o644)
	foreign := exec.Command("sleep", "1000") // a process that nobody here has started
	require.NoError(t, foreign.Start())
	defer func() { _ = foreign.Process.Kill(); _ = foreign.Wait() }()
	var before []string
	for round := range 3 {
		c, _ := d.start(t)
		require.Eventually(t, func() bool {
			now := d.processes()
			return len(now) == copies && disjoint(now, before)
		}, time.Minute, 20*time.Millisecond, "before %v, now %v", before, d.processes())
		d.answers(t)
		before = d.processes()
		if round == 0 { // ps shows who is who
			require.Equal(t, []string{"baetyl-master", "start"}, commandLine(otherMaster(t, c.Process.Pid, 0)))
			require.Equal(t, []string{d.path("bin/baetyl"), "start"}, commandLine(c.Process.Pid))
		}
		master := otherMaster(t, c.Process.Pid, 0)
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		require.Eventually(t, func() bool { return len(commandLine(master)) == 0 && len(d.processes()) <= 1 },
			time.Minute, 20*time.Millisecond, "master %d or services %v run on", master, d.processes())
		if round == 1 { // the record is lost too
			require.NoError(t, os.Remove(d.path("var/run/baetyl/instances.json")))
		}
	}
	require.NoError(t, foreign.Process.Signal(syscall.Signal(0)))
}

// commandLine is empty when the process has ended.
func commandLine(pid int) []string {
	return strings.FieldsFunc(lineOf(strconv.Itoa(pid)), func(r rune) bool { return r == 0 })
}

func disjoint(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// A second master in the directory is refused before it touches anything, also what an update of the first one has on
// disk, and also when the first one has just been killed.
func TestSecondMasterTouchesNothing(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	before := d.await(t, copies)
	d.write(t, "bin/baetyl.new", "candidate", 0o755)
	record := `{"type":"MST","trace":"t1","sha256":"00","starts":3}`
	d.write(t, "var/db/baetyl/update.json", record, 0o600)
	require.NoError(t, syscall.Kill(otherMaster(t, c.Process.Pid, 0), syscall.SIGSTOP))
	d.configure(t, "logger: {path: master.log}") // the first one has not read it
	out, status := d.run("start")
	require.Equal(t, 1, status)
	require.Contains(t, out, "another master runs in")
	log, err := os.ReadFile(d.path("master.log"))
	require.True(t, err == nil || os.IsNotExist(err), err)
	require.Empty(t, string(log), "the file of the first one's log")
	require.FileExists(t, d.path("bin/baetyl.new"))
	left, err := os.ReadFile(d.path("var/db/baetyl/update.json"))
	require.NoError(t, err)
	require.Equal(t, record, string(left))
	require.NoFileExists(t, d.path(masterapi.OTALog))
	require.Equal(t, before, d.processes())
}

// What can't get better by a restart is said once.
func TestWrongConfigurationEndsTheKeeper(t *testing.T) {
	t.Parallel()
	d := newDevice(t, "")
	d.write(t, "etc/baetyl/conf.yml", "mod: native\n", 0o644)
	out, status := d.run("start")
	require.Equal(t, 78, status)
	require.Equal(t, 1, strings.Count(out, `did you mean "mode"`), out)
}
