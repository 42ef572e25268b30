package eventstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// faults are every 5th one; AGENT_FAULTS=1 is all of them (make agent-faults).
var faults = faultfs.Sample("AGENT_FAULTS", 5)

// calls are what the agent calls for two updates, in order. Each may be repeated.
var calls = []func(*eventstore.Store) error{
	func(s *eventstore.Store) error { _, err := s.Add(bg, ota("a"), now); return err },
	func(s *eventstore.Store) error { _, err := s.Add(bg, ota("b"), now); return err },
	func(s *eventstore.Store) error { return s.HandOver("a", eventstore.App{Version: "v1"}) },
	func(s *eventstore.Store) error {
		return s.Step("a", 1, true, cloud.Progress{Step: masterapi.StepUpdated, Trace: "a"})
	},
	func(s *eventstore.Store) error { return s.Cleaned("a") },
	func(s *eventstore.Store) error { return s.Reported(s.Jobs()) },
}

// Any fault of the disk at any operation: what a method did when it returned no error is there after a restart; a
// method that returned an error has changed nothing for the process that goes on; the calls that follow succeed.
func TestFaults(t *testing.T) {
	states := [][]eventstore.Job{nil} // after each call
	plain := open(t, t.TempDir())
	for _, call := range calls {
		require.NoError(t, call(plain))
		states = append(states, plain.Jobs())
	}
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		require.NoError(t, os.Mkdir(filepath.Join(d.Dir(), "volumes"), 0o755))
		start := func(disk file.Disk) (*eventstore.Store, error) {
			dir := filepath.Join(d.Dir(), "volumes/.agent")
			return eventstore.Open(bg, eventstore.Config{Dir: dir, Disk: disk, Log: log.Discard()})
		}
		d.Start()
		done := 0
		s, err := start(d.Disk())
		for err == nil && done < len(calls) {
			if err = calls[done](s); err == nil {
				done++
			} else if !d.Fault().Kind.Ends() {
				require.Equal(t, len(states[done]), len(s.Jobs()))
				if done > 0 {
					require.Equal(t, states[done], s.Jobs(), "an error has changed nothing")
				}
			}
		}
		d.Reboot()
		if s != nil && !d.Fault().Kind.Ends() { // this process goes on
			for _, call := range calls[done:] {
				require.NoError(t, call(s))
			}
			done = len(calls)
		}
		if s != nil {
			require.NoError(t, s.Close())
		}
		s, err = start(agenttest.Disk())
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		n := len(s.Jobs())
		require.Contains(t, []int{len(states[done]), len(states[min(done+1, len(calls))])}, n)
		if n > 0 {
			require.Contains(t, [][]eventstore.Job{states[done], states[min(done+1, len(calls))]}, s.Jobs())
		}
		for _, call := range calls[done:] {
			require.NoError(t, call(s))
		}
		require.Equal(t, states[len(calls)], s.Jobs())
		added, err := s.Add(bg, ota("a"), now)
		require.NoError(t, err)
		require.False(t, added, "a trace that is gone is known")
	})
}
