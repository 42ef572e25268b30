package cmd_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// callers call over both sockets, each time over a new connection, until stop is called; it returns how many calls went
// well, and each that did not.
func (d *device) callers(t *testing.T, sockets ...string) (stop func() (calls int, failed []error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var calls int
	var failed []error
	var calling sync.WaitGroup
	for _, socket := range sockets {
		calling.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond) // the rest needs the processors too
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				c, err := http.NewClient(http.ClientConfig{Address: "unix://" + socket, Timeout: time.Minute})
				if err == nil {
					err = c.Get(context.Background(), masterapi.PathPortAvailable, nil)
					c.Close()
				}
				var answer *http.Error
				mu.Lock()
				if err == nil || errors.As(err, &answer) && answer.Status == 401 { // it has no token: an answer all the same
					calls++
				} else {
					failed = append(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	t.Cleanup(cancel)
	return func() (int, []error) {
		cancel()
		calling.Wait()
		return calls, failed
	}
}

// instances returns the process ids of the instances by name, once all three run. It asks as a person does.
func (d *device) instances(t *testing.T) map[string]int {
	t.Helper()
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + d.path(masterapi.AdminSocket), Timeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	pids := map[string]int{}
	require.Eventually(t, func() bool {
		var i masterapi.Inspect
		if c.Get(context.Background(), masterapi.PathInspect, &i) != nil {
			return false
		}
		for _, s := range i.Services {
			for _, v := range s.Instances {
				if v.Status == masterapi.StatusRunning && v.Process != nil {
					pids[v.Name] = v.Process.ID
				}
			}
		}
		return len(pids) == 3
	}, time.Minute, 20*time.Millisecond, "not all instances run")
	return pids
}

// A restart replaces the master alone, and whoever calls meanwhile waits.
func TestRestart(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	before := d.instances(t)
	mounted := d.path("mounted.sock") // a hard link leads to the same file, as a mount in a container does
	require.NoError(t, os.Link(d.path("var/run/baetyl.sock"), mounted))
	stop := d.callers(t, d.path("var/run/baetyl.sock"), d.path(masterapi.AdminSocket), mounted)
	master := otherMaster(t, c.Process.Pid, 0)
	for range 5 {
		out, code := d.run("restart")
		require.Zero(t, code, out)
		require.Contains(t, out, "a new master runs after ")
		master = otherMaster(t, c.Process.Pid, master)
		require.Equal(t, before, d.instances(t), "services run on")
	}
	calls, failed := stop()
	require.Empty(t, failed, "of %d calls", calls)
	require.Positive(t, calls)

	// A master that could not start is not started.
	d.write(t, "etc/baetyl/conf.yml", "mode: nativ\n", 0o644)
	out, code := d.run("restart")
	require.Equal(t, 1, code)
	require.Contains(t, out, "baetyl: refused: check of the next master: ")
	require.Contains(t, out, `conf.yml: mode: must be docker or native; found "nativ"`)
	require.Equal(t, master, otherMaster(t, c.Process.Pid, 0))

	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
	require.NoFileExists(t, d.path("var/run/baetyl.sock"))
	require.NoFileExists(t, d.path(masterapi.AdminSocket))
}

// Nobody is refused while a master is killed; a call that it was answering fails.
func TestSocketsOfAKilledMaster(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, _ := d.start(t)
	d.instances(t)
	stop := d.callers(t, d.path("var/run/baetyl.sock"), d.path(masterapi.AdminSocket))
	master := 0
	for range kills {
		master = otherMaster(t, c.Process.Pid, master)
		require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
	}
	otherMaster(t, c.Process.Pid, master)
	calls, failed := stop()
	require.Positive(t, calls)
	for _, err := range failed {
		require.NotErrorIs(t, err, syscall.ECONNREFUSED)
		require.NotErrorIs(t, err, os.ErrNotExist)
	}
	require.LessOrEqual(t, len(failed), 20, "more than one of each caller for each kill: %v", failed)

	// A cleaner.
	for _, socket := range []string{d.path("var/run/baetyl.sock"), d.path(masterapi.AdminSocket)} {
		require.NoError(t, os.Remove(socket))
		require.Eventually(t, func() bool {
			_, err := os.Stat(socket)
			return err == nil
		}, time.Minute, 10*time.Millisecond)
	}
	out, code := d.run("restart")
	require.Zero(t, code, out)
}

// A reload says what has changed, by the command and by the signal.
func TestReload(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	c, log := d.start(t)
	d.instances(t)
	d.configure(t, "grace: 4s\nlogger: {level: debug, path: var/log/x.log}\nsnfile: sn")
	out, code := d.run("reload")
	require.Zero(t, code, out)
	require.Equal(t, "in effect: grace, logger.level, logger.path; after a restart of everything: snfile\n", out)
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(d.path("var/log/x.log"))
		return err == nil && len(data) > 0
	}, time.Minute, 10*time.Millisecond, "the new log file is not there")

	d.configure(t, "grace: zzz")
	out, code = d.run("reload")
	require.Equal(t, 1, code)
	require.Contains(t, out, "baetyl: refused: read the configuration: ")
	require.Contains(t, out, "grace: ")

	d.configure(t, "grace: 5s")
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool {
		return strings.Contains(log.String(), "configuration read again: in effect: grace, logger.level, logger.path")
	}, time.Minute, 10*time.Millisecond, "SIGHUP is not heard")
}

// In native mode there is nothing to prune, and that is said.
func TestPruneInNativeMode(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	d.start(t)
	d.instances(t)
	for _, args := range [][]string{{"prune"}, {"prune", "--volumes"}, {"prune", "--dry-run"}} {
		out, code := d.run(args...)
		require.Zero(t, code, out)
		require.Contains(t, out, "there is nothing to prune in mode native")
	}
}

// Who asks in vain is told why.
func TestAdminCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	for _, command := range []string{"restart", "reload", "stop"} {
		out, code := d.run(command)
		require.Equal(t, 1, code)
		require.Equal(t, "baetyl: no master runs in "+d.dir+"; choose its working directory with -w\n", out)
	}
	d.start(t)
	d.instances(t)
	if os.Geteuid() != 0 {
		return // the rest needs another user
	}
	require.NoError(t, os.Chmod(d.dir, 0o755))
	for _, command := range []string{"restart", "reload", "stop"} {
		c := exec.Command(d.path("bin/baetyl"), command)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
		out, err := c.CombinedOutput()
		var ended *exec.ExitError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, 1, ended.ExitCode(), string(out))
		require.Equal(t, "baetyl: permission denied: you are not root, and not in group baetyl, "+
			"whose members may do this (server.group)\n", string(out))
	}
	elsewhere := filepath.Join(d.dir, "var")
	out, code := d.run("reload", "-w", elsewhere)
	require.Equal(t, 1, code)
	require.Contains(t, out, elsewhere)
}
