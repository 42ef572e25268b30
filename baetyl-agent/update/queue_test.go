package update_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// Updates are carried out one after the other, in the order of their events. The folder of one that waits is kept.
func TestQueue(t *testing.T) {
	r := newRig(t)
	r.master.Steps("UPDATING")
	r.add(r.app("t1", "v1"))
	r.add(r.app("t2", "v2"))
	r.add(r.app("t3", "v3"))
	mqtttest.Until(t, "t1 is with the master", func() bool { return len(r.master.Calls()) == 1 })
	r.master.Steps("UPDATING", "UPDATED")
	r.master.Log("APP", "t1", "UPDATED")
	r.job("t3")
	require.Len(t, r.master.Calls(), 3)
	for i, c := range r.master.Calls() {
		require.Equal(t, fmt.Sprint("t", i+1), c.Trace)
	}
	require.Equal(t, "v3", r.read("hub-conf/v3/service.yml"))
	require.NoDirExists(t, filepath.Join(r.dir, "hub-conf/v2"))
}

// Cleaning waits until the master answers, also over a restart of the agent, and removes nothing while another client's
// update runs.
func TestCleaningWaits(t *testing.T) {
	for _, other := range []bool{false, true} {
		r := newRig(t)
		r.add(r.app("t0", "v0"))
		r.job("t0")
		r.master.Away(true)
		r.add(r.app("t1", "v1"))
		mqtttest.Until(t, "t1 is updated", func() bool { j := r.events.Jobs(); return len(j) == 2 && j[1].Done() })
		r.restart()
		require.DirExists(t, filepath.Join(r.dir, "hub-conf/v0"))
		if other {
			r.master.Log("APP", "other-client", "UPDATING")
		}
		r.master.Away(false)
		r.job("t1")
		if other {
			require.DirExists(t, filepath.Join(r.dir, "hub-conf/v0"))
		} else {
			require.NoDirExists(t, filepath.Join(r.dir, "hub-conf/v0"))
		}
	}
}

// Nothing is removed if the master's log does not say whether an update runs.
func TestCleaningNeedsToKnowThatNoUpdateRuns(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"unreadable": func(path string) error { // a folder opens, but can't be read
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o755)
		},
		"damaged": func(path string) error { return os.WriteFile(path, []byte("no record\n"), 0o600) },
		"begun":   func(path string) error { return os.WriteFile(path, []byte(`{"step":"UPDA`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.add(r.app("t0", "v0"))
			r.job("t0")
			r.master.Away(true)
			r.add(r.app("t1", "v1"))
			mqtttest.Until(t, "t1 is updated", func() bool { j := r.events.Jobs(); return len(j) == 2 && j[1].Done() })
			path := filepath.Join(r.dir, "ota.log")
			require.NoError(t, spoil(path))
			r.master.Away(false)
			r.job("t1")
			require.DirExists(t, filepath.Join(r.dir, "hub-conf/v0"))
			r.stop()
			require.Contains(t, r.log.String(), "old volumes stay until the next update has ended")
			require.Contains(t, r.log.String(), "the master's log of updates does not say whether one runs")
			require.NoError(t, os.RemoveAll(path))
			r.start()
			r.add(r.app("t2", "v2"))
			r.job("t2")
			require.NoDirExists(t, filepath.Join(r.dir, "hub-conf/v0"), "the next update's end has removed it")
		})
	}
}
