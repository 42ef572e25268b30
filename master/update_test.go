package master_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// versioned is an application that has a service that differs from version to version, and that nothing starts again
// in v2.
func versioned(version string) string {
	policy := "always"
	if version == "v2" {
		policy = "no"
	}
	return fmt.Sprintf("version: %[1]s\nservices:\n  - {name: probe, image: i, replica: 1, api: [inspect, update]}\n"+
		"  - {name: worker, image: %[1]s, replica: 1, restart: {policy: '%[2]s'}}\n", version, policy)
}

// bootVersions boots v1; the others wait in their folders. An update takes seconds: on a busy machine too what happens
// to it meanwhile comes before its end.
func bootVersions(t *testing.T) (*device, *master.Master) {
	d := newDevice(t)
	d.healthy = "3s"
	for _, v := range []string{"v2", "v3"} {
		d.write(t, "var/db/baetyl/"+v+"/application.yml", versioned(v))
	}
	d.write(t, application.File, versioned("v1"))
	m := d.boot(t)
	require.Eventually(t, func() bool { return len(d.fake.Running()) == 2 }, time.Minute, time.Millisecond,
		"not booted")
	return d, m
}

// accepted asks until the master is no longer busy.
func accepted(t *testing.T, m *master.Master, r masterapi.UpdateRequest) {
	t.Helper()
	require.Eventually(t, func() bool { return m.Update(r, masterapi.By{}) == nil }, time.Minute, time.Millisecond,
		"the update is not taken")
}

// records are those of the OTA log, none while there is no log.
func (d *device) records(t *testing.T) []masterapi.OTARecord {
	f, err := os.Open(d.path(masterapi.OTALog))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	defer f.Close()
	records, err := masterapi.ReadOTALog(f)
	require.NoError(t, err)
	return records
}

// ended waits for the final record and returns the log.
func (d *device) ended(t *testing.T) (records []masterapi.OTARecord) {
	t.Helper()
	require.Eventually(t, func() bool {
		records = d.records(t)
		return len(records) > 0 && masterapi.Final(records[len(records)-1].Step)
	}, time.Minute, time.Millisecond, "the update does not end")
	return records
}

func stepsOf(records []masterapi.OTARecord) (steps []string) {
	for _, r := range records {
		steps = append(steps, r.Step)
	}
	return steps
}

// A version that starts and does not stay up is rolled back, and inspect and the log give the reason.
func TestUpdateHasToStayUp(t *testing.T) {
	d, m := bootVersions(t)
	accepted(t, m, masterapi.UpdateRequest{Path: "var/db/baetyl/v2", Trace: "t2"})
	require.Eventually(t, func() bool {
		if d.fake.Starts("worker") == 2 {
			d.fake.End("worker", errors.New("boom"))
		}
		return strings.Contains(m.Inspect().Error, "boom")
	}, time.Minute, time.Millisecond, "it counts as done")
	records := d.ended(t)
	require.Equal(t, []string{"UPDATING", "ROLLINGBACK", "ROLLEDBACK"}, stepsOf(records))
	require.Equal(t, m.Inspect().Error, records[2].Error)
	require.Contains(t, records[2].Error,
		`update application to version "v2" (the old one is put back): instance worker of service worker: boom`)
	require.Equal(t, "v1", m.Inspect().Software.ConfVersion)
	require.Equal(t, versioned("v1"), d.read(t, application.File))
	require.Equal(t, 1, d.fake.Starts("probe"))

	accepted(t, m, masterapi.UpdateRequest{Path: "var/db/baetyl/v3", Trace: "t3"})
	records = d.ended(t)
	require.Equal(t, []string{"UPDATING", "UPDATED"}, stepsOf(records))
	require.Equal(t, masterapi.UpdateApp, records[1].Type)
	require.Equal(t, "t3", records[1].Trace)
	require.Empty(t, m.Inspect().Error)
}

// An application.yml that a user has damaged while the application ran is kept, and a failed update does not restore
// it.
func TestDamagedFileIsNotPutBack(t *testing.T) {
	d, m := bootVersions(t)
	d.write(t, application.File, "services: [{nam")
	d.fake.FailStart("worker", errors.New("boom"))
	accepted(t, m, masterapi.UpdateRequest{Path: "var/db/baetyl/v3", Trace: "t3"})
	require.Equal(t, masterapi.StepFailure, d.ended(t)[2].Step, "the old worker cannot start either")
	require.Equal(t, versioned("v1"), d.read(t, application.File))
	require.Equal(t, "services: [{nam", d.read(t, application.File+".damaged"))
}

// Of many requests at once one is accepted, the others get "busy"; afterwards the next one is accepted.
func TestOneUpdateAtATime(t *testing.T) {
	d, m := bootVersions(t)
	accepted(t, m, masterapi.UpdateRequest{Path: "var/db/baetyl/v2", Trace: "t0"})
	d.ended(t)
	for _, v := range []string{"v3", "v2", "v3"} {
		var mu sync.Mutex
		taken := 0
		require.Eventually(t, func() bool {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if err := m.Update(masterapi.UpdateRequest{Path: "var/db/baetyl/" + v, Trace: v}, masterapi.By{}); err == nil {
						mu.Lock()
						defer mu.Unlock()
						taken++
					}
				})
			}
			wg.Wait()
			return taken > 0
		}, time.Minute, time.Millisecond, "none is taken")
		require.Equal(t, 1, taken)
		d.ended(t)
		require.Eventually(t, func() bool { return m.Inspect().Software.ConfVersion == v }, time.Minute,
			time.Millisecond, "%s does not run", v)
	}
}
