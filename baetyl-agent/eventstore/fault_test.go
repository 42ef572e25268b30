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

// story is the life of two updates. Each act may be done twice.
var story = []func(*eventstore.Store) error{
	func(s *eventstore.Store) error { _, err := s.Add(bg, ota("a"), now); return err },
	func(s *eventstore.Store) error { _, err := s.Add(bg, ota("b"), now); return err },
	func(s *eventstore.Store) error { return s.HandOver("a", eventstore.App{Version: "v1"}) },
	func(s *eventstore.Store) error {
		return s.Step("a", 1, true, cloud.Progress{Step: masterapi.StepUpdated, Trace: "a"})
	},
	func(s *eventstore.Store) error { return s.Cleaned("a") },
	func(s *eventstore.Store) error { return s.Reported(s.Jobs()) },
}

// Whatever the disk does, and when: what a method has returned without an error is there after a restart, an error
// has changed nothing for the process that goes on, and the story goes on from there.
func TestFaults(t *testing.T) {
	states := [][]eventstore.Job{nil} // after each act
	plain := open(t, t.TempDir())
	for _, act := range story {
		require.NoError(t, act(plain))
		states = append(states, plain.Jobs())
	}
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		require.NoError(t, os.Mkdir(filepath.Join(d.Dir(), "volumes"), 0o755))
		start := func(disk file.Disk) (*eventstore.Store, error) {
			return eventstore.Open(
				bg,
				eventstore.Config{Dir: filepath.Join(d.Dir(), "volumes/.agent"), Disk: disk, Log: log.Discard()},
			)
		}
		d.Start()
		done := 0
		s, err := start(d.Disk())
		for err == nil && done < len(story) {
			if err = story[done](s); err == nil {
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
			for _, act := range story[done:] {
				require.NoError(t, act(s))
			}
			done = len(story)
		}
		if s != nil {
			require.NoError(t, s.Close())
		}
		s, err = start(agenttest.Disk())
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		n := len(s.Jobs())
		require.Contains(t, []int{len(states[done]), len(states[min(done+1, len(story))])}, n)
		if n > 0 {
			require.Contains(t, [][]eventstore.Job{states[done], states[min(done+1, len(story))]}, s.Jobs())
		}
		for _, act := range story[done:] {
			require.NoError(t, act(s))
		}
		require.Equal(t, states[len(story)], s.Jobs())
		added, err := s.Add(bg, ota("a"), now)
		require.NoError(t, err)
		require.False(t, added, "a trace that is gone is known")
	})
}
