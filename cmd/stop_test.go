package cmd_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A signal stops everything in order, whoever of the two gets it, and the log says why.
func TestSignalsStopEverything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal   syscall.Signal
		toMaster bool
		dump     bool
	}{
		"SIGTERM":               {syscall.SIGTERM, false, false},
		"SIGINT":                {syscall.SIGINT, false, false},
		"SIGQUIT":               {syscall.SIGQUIT, false, true},
		"SIGTERM to the master": {syscall.SIGTERM, true, false},
		"SIGQUIT to the master": {syscall.SIGQUIT, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			d.write(t, "var/db/baetyl/out/deaf", "", 0o644)
			keeper, out := d.start(t)
			d.await(t, 4)
			began := time.Now()
			pid := keeper.Process.Pid
			if c.toMaster {
				pid = otherMaster(t, pid, 0)
			}
			require.NoError(t, syscall.Kill(pid, c.signal))
			require.NoError(t, keeper.Wait())
			require.Less(t, time.Since(began), 30*time.Second, "grace is 3s")
			require.Empty(t, d.processes())
			require.NoFileExists(t, d.path("var/run/baetyl.sock"))
			require.NoDirExists(t, d.path("var/run/baetyl/services"))
			require.NoFileExists(t, d.path("var/run/baetyl/instances.json"))
			require.Regexp(t, `reason="?`+name[:6], out.String())
			require.NotContains(t, out.String(), "token")
			if c.dump {
				require.Contains(t, out.String(), "goroutine 1 [")
			}
		})
	}
}

// A signal in the middle of start-up leaves nothing either, whenever it comes.
func TestSignalDuringStart(t *testing.T) {
	t.Parallel()
	d := newBusyDevice(t)
	for _, delay := range []time.Duration{5, 30, 60, 100, 150} {
		c, out := d.start(t)
		time.Sleep(delay * time.Millisecond) // no condition to wait for: the moment of the signal is what is tested
		require.NoError(t, c.Process.Signal(syscall.SIGTERM))
		err := c.Wait()
		if err != nil { // so early that the keeper had not installed its handler yet
			require.Equal(t, "signal: terminated", err.Error(), out.String())
		}
		require.Empty(t, d.processes())
	}
}

// The master is killed while it stops services: its keeper ends what is left.
func TestMasterKilledWhileStopping(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, 1, 5, 20, 200} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			d.write(t, "var/db/baetyl/out/deaf", "", 0o644)
			c, _ := d.start(t)
			d.await(t, 4)
			master := otherMaster(t, c.Process.Pid, 0)
			require.NoError(t, c.Process.Signal(syscall.SIGTERM))
			time.Sleep(delay * time.Millisecond) // the moment is what is tested
			_ = syscall.Kill(master, syscall.SIGKILL)
			_ = c.Wait() // with the status of a master that was killed, or of one that had ended
			require.Empty(t, d.processes())
		})
	}
}
