package update_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/cloud"
)

// faults are every 11th one; AGENT_FAULTS=1 is all of them (make agent-faults).
var faults = faultfs.Sample("AGENT_FAULTS", 11)

// steps are those of a job, as a text.
func steps(j eventstore.Job) (text string) {
	for _, s := range j.Steps {
		text += " " + s.Step
	}
	return text
}

// store adds an event until that succeeds, as the agent does before it acknowledges it. It returns false if the fault
// has ended the process before.
func (r *rig) store(o cloud.OTA, d *faultfs.FS) bool {
	for {
		_, err := r.events.Add(bg, o, time.Now())
		switch {
		case err == nil:
			return true
		case d.Fault().Kind.Ends():
			return false
		}
		d.Reboot() // ends a fault that lasts, such as a full disk
	}
}

// Any fault of the disk at any operation of an application update and its cleaning: the update of an acknowledged
// event ends, with UPDATED, or with FAILURE if the disk reported an error; the master is asked once; the volumes are
// complete; the next update succeeds and removes what the ones before have left.
func TestFaults(t *testing.T) {
	server := agenttest.NewServer(t, false)
	faultfs.Each(t, faults, func(t *testing.T, d *faultfs.FS) {
		r := prepareRig(t, filepath.Join(d.Dir(), "volumes"), server)
		r.disk = agenttest.Disk()
		r.start()
		r.add(r.app("t0", "v0"))
		r.job("t0")
		require.NoError(t, r.events.Reported(r.events.Jobs()))
		r.stop()

		r.disk = d.Disk()
		d.Start()
		begun := r.open() == nil
		acknowledged := begun && r.store(r.app("t1", "v1"), d)
		if acknowledged {
			r.run()
			mqtttest.Until(t, "the update ends, or the disk fails", func() bool {
				j := r.events.Jobs()
				return d.Met() || len(j) == 1 && j[0].Done() && !j[0].Clean
			})
		}
		if acknowledged && d.Fault().Kind == faultfs.None {
			r.stop() // no read of the disk follows that another run would not have
		}
		d.Reboot()
		if begun && (d.Fault().Kind.Ends() || d.Fault().Kind == faultfs.None) {
			r.stop()
			begun = false
		}
		if !begun {
			r.disk = agenttest.Disk()
			r.start()
		}
		if acknowledged {
			require.Len(t, r.events.Jobs(), 1, "an acknowledged event is stored")
		}
		r.add(r.app("t1", "v1")) // comes again if it was not acknowledged, or its acknowledgement was lost
		r.job("t1")
		switch end := steps(r.events.Jobs()[0]); {
		case end == " RECEIVED UPDATING UPDATED":
			require.Len(t, r.master.Calls(), 2)
			require.Equal(t, "v1", r.read("hub-conf/v1/service.yml"))
		default:
			require.Equal(t, " RECEIVED FAILURE", end)
			require.False(t, d.Fault().Kind.Ends(), "a power cut is no failure of an update")
			require.Len(t, r.master.Calls(), 1)
			require.Equal(t, "v0", r.read("hub-conf/v0/service.yml"))
		}
		r.add(r.app("t2", "v2"))
		r.job("t2")
		require.Equal(t, "v2", r.read("hub-conf/v2/service.yml"))
		for _, gone := range []string{"hub-conf/v0", "hub-conf/v1", "app/v0", "app/v1"} {
			require.NoDirExists(t, filepath.Join(r.dir, gone))
		}
	})
}
