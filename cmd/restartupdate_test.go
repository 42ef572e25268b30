package cmd_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Somebody restarts the master in the middle of an update: nothing is lost, it has one outcome, and that runs.
func TestRestartDuringAnUpdate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request masterapi.UpdateRequest
		reached func(t *testing.T, d *device)
	}{
		"application": {masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t1"}, func(t *testing.T, d *device) {
			require.Eventually(t, func() bool { return slices.Contains(d.workers(), "v2") }, time.Minute,
				20*time.Millisecond, "v2 does not start")
		}},
		"application, at once": {masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t1"}, nil},
		"master":               {toMaster(newMaster, "t1"), func(t *testing.T, d *device) { d.awaitProgram(t, "2.0.0") }},
		"master, at once":      {toMaster(newMaster, "t1"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newUpdatedDevice(t)
			d.configure(t, "grace: 3s\nupdate: {healthy: 2s, deadline: 1m}")
			s := d.supervise(t)
			d.await(t, 3)
			untouched := d.unchanged()
			require.NoError(t, s.put(c.request))
			if c.reached != nil {
				c.reached(t, d)
			}
			out, code := d.run("restart")
			require.Zero(t, code, out)
			step := d.awaitFinal(t, "t1").Step
			application, program := "v1", "1.0.0"
			if step == masterapi.StepUpdated && c.request.Type == masterapi.UpdateMaster {
				program = "2.0.0"
			} else if step == masterapi.StepUpdated {
				application = "v2"
			} else {
				require.Equal(t, masterapi.StepRolledBack, step)
			}
			d.awaitIdle(t, application, program)
			require.Eventually(t, func() bool {
				return slices.Equal(d.workers(), []string{application, application})
			}, time.Minute, 20*time.Millisecond, "workers: %v", d.workers())
			require.Equal(t, untouched, d.unchanged(), "a service that the update does not change runs on")
			d.awaitFinal(t, "t1") // still the only one
			t.Logf("outcome: %s", step)

			require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t2"}))
			require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
			d.awaitIdle(t, "v3", program)
			require.Empty(t, s.ends)
		})
	}
}
