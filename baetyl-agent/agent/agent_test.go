package agent

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/internal/metricstest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const updated = " RECEIVED UPDATING UPDATED"

func TestReportsAndUpdates(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv(masterapi.EnvRunDir, dir)
	r := newRig(t)
	mqtttest.Until(t, "three reports on the interval", func() bool {
		reports, _ := r.cloud.Reports()
		return len(reports) >= 3
	})
	reports, headers := r.cloud.Reports()
	require.Nil(t, reports[0].OTA)
	require.WithinDuration(t, time.Now(), reports[0].Time, time.Minute)
	require.Equal(t, serial, headers[0].Get("x-iot-edge-sn"))
	require.Equal(t, "dev1", headers[0].Get("x-iot-edge-clientid"))
	require.Equal(t, "application/x-www-form-urlencoded", headers[0].Get("Content-Type"))

	r.push(r.app("t1", "v1"))
	r.reported("t1", updated)
	mqtttest.Until(t, "what is reported is not repeated", func() bool {
		reports, _ := r.cloud.Reports()
		last := reports[len(reports)-1]
		return last.OTA == nil && last.Software.ConfVersion == "v1"
	})
	r.push(r.app("t1", "v1"))
	r.push(r.app("t2", "v2"))
	r.reported("t2", updated)
	require.Len(t, r.master.Calls(), 2, "the same trace again does nothing")
	page := metricstest.Page(t, filepath.Join(dir, masterapi.ServiceAdmin))
	for _, line := range []string{
		`baetyl_agent_connected 1`, `baetyl_agent_events_total{result="taken"} 2`, `baetyl_agent_updates_pending 0`,
	} {
		require.Contains(t, page, line+"\n")
	}
	require.NoError(t, r.stop())
}

// An invalid event is logged, counted and acknowledged: the connection lasts, and the events after it are carried out.
func TestWrongEvents(t *testing.T) {
	r := newRig(t)
	for _, text := range []string{
		"", "{", "[]", `{"event":"REBOOT"}`,
		`{"event":"OTA","content":{"type":"APP","trace":"x","volume":{"name":"x","path":"/etc"}}}`,
	} {
		r.send([]byte(text))
	}
	r.push(r.app("t1", "v1"))
	r.reported("t1", updated)
	mqtttest.Until(t, "they are counted", func() bool {
		for _, text := range r.master.Reports() {
			var n map[string]int
			if json.Unmarshal([]byte(text), &n) == nil && n["events_refused"] == 5 && n["events_taken"] == 1 {
				return true
			}
		}
		return false
	})
	require.Equal(t, 1, strings.Count(r.output.String(), "msg=connected"), "the connection has lasted")
	require.NoError(t, r.stop())
	before := strings.Count(r.output.String(), "REBOOT")
	r.start()
	r.push(r.app("t2", "v2"))
	r.reported("t2", updated)
	require.Equal(t, before, strings.Count(r.output.String(), "REBOOT"), "they do not come again")
}

// An event that can't be stored is not acknowledged, so that the broker keeps it.
func TestEventIsAcknowledgedWhenItIsStored(t *testing.T) {
	r := newRig(t)
	record := filepath.Join(r.dir, dataDir, volume.Private, "jobs.json")
	require.NoError(t, os.Mkdir(record, 0o755)) // nothing can be written there
	r.push(r.app("t1", "v1"))
	mqtttest.Until(t, "the event has come", func() bool {
		return strings.Contains(r.output.String(), "event can't be stored")
	})
	r.kill()
	require.NoError(t, os.Remove(record))
	r.start()
	r.reported("t1", updated)
	require.NoError(t, r.stop())
}

// A cloud that was unreachable gets one report of the present state, with every step of the updates.
func TestCloudIsAway(t *testing.T) {
	r := newRig(t)
	r.cloud.Answer(500)
	before := r.cloud.Tried()
	r.push(r.app("t1", "v1"))
	r.push(r.app("t2", "v2"))
	mqtttest.Until(t, "both are done", func() bool { return len(r.master.Calls()) == 2 })
	mqtttest.Until(t, "some attempts", func() bool { return r.cloud.Tried() >= before+2 })
	r.kill()
	r.start()
	r.cloud.Answer(200)
	r.reported("t1", updated)
	r.reported("t2", updated)
	require.NoError(t, r.stop())
}

// The agent ends within seconds, even during a download that hangs.
func TestTheEndIsQuick(t *testing.T) {
	r := newRig(t)
	r.server.Cut(1000, true)
	r.push(r.app("t1", "v1"))
	mqtttest.Until(t, "the download hangs", func() bool { return len(r.server.Ranges()) == 1 })
	begin := time.Now()
	require.NoError(t, r.stop())
	require.Less(t, time.Since(begin), 30*time.Second)
}

// The agent is killed at each stage of an update, and the next one carries it to its end, which the cloud hears of.
func TestKillAtEachStage(t *testing.T) {
	for _, c := range []struct {
		stage string
		hold  func(*rig)      // makes the update stay at that stage
		there func(*rig) bool // it is there
		free  func(*rig)
		calls int
	}{
		{"the event is stored", func(r *rig) { r.server.Answer(503, 503) },
			func(r *rig) bool { return len(r.server.Ranges()) > 0 }, func(*rig) {}, 1},
		{"downloading", func(r *rig) { r.server.Cut(10000, true) },
			func(r *rig) bool { return len(r.server.Ranges()) > 0 }, func(r *rig) { r.server.Cut(0, false) }, 1},
		{"asking a master that is busy", func(r *rig) { r.master.Refuse(409, 409, 409) },
			func(r *rig) bool { return strings.Contains(r.output.String(), "volume is in place") },
			func(r *rig) { r.master.Refuse() }, 1},
		{"the answer is on its way", func(r *rig) { r.master.Lose() },
			func(r *rig) bool { return len(r.master.Calls()) == 1 }, func(*rig) {}, 1},
		{"following", func(r *rig) { r.master.Steps(masterapi.StepUpdating) },
			func(r *rig) bool { s, _ := r.cloud.Steps("t1"); return s == " RECEIVED UPDATING" },
			func(r *rig) { r.master.Log("APP", "t1", masterapi.StepUpdated) }, 1},
		{"cleaning", func(r *rig) { r.master.Away(true) },
			func(r *rig) bool { s, _ := r.cloud.Steps("t1"); return s == updated }, func(r *rig) { r.master.Away(false) }, 1},
		{"reporting", func(r *rig) { r.cloud.Answer(503) },
			func(r *rig) bool { return len(r.master.Calls()) == 1 }, func(r *rig) { r.cloud.Answer(200) }, 1},
	} {
		t.Run(c.stage, func(t *testing.T) {
			r := newRig(t)
			c.hold(r)
			r.push(r.app("t1", "v1"))
			mqtttest.Until(t, c.stage, func() bool { return c.there(r) })
			r.kill()
			c.free(r)
			r.start()
			r.reported("t1", updated)
			require.Len(t, r.master.Calls(), c.calls)
			r.push(r.app("t2", "v2"))
			r.master.Steps(masterapi.StepUpdating, masterapi.StepUpdated)
			r.reported("t2", updated)
			require.NoError(t, r.stop())
		})
	}
}

// The agent is killed at any moment, again and again (AGENT_KILLS times); every other update is rolled back.
func TestKillAnywhere(t *testing.T) {
	kills := 24
	if n, err := strconv.Atoi(os.Getenv("AGENT_KILLS")); err == nil {
		kills = n
	}
	r := newRig(t)
	r.server.Cut(7000, false)
	for i := range (kills + 3) / 4 {
		trace, end := fmt.Sprint("t", i), masterapi.StepUpdated
		if i%2 == 1 {
			end = masterapi.StepRolledBack
		}
		r.master.Steps(masterapi.StepUpdating)
		r.push(r.app(trace, fmt.Sprint("v", i)))
		asked := false
		for n := 0; n < 4 || !asked; n++ {
			// Not to wait, but to hit any moment; on a slow machine later and later, until the agent gets as far as asking.
			time.Sleep(time.Duration(rand.IntN(int(150*time.Millisecond) * (1 + n/4))))
			if calls := r.master.Calls(); !asked && len(calls) > i {
				asked = true
				r.master.Log(masterapi.UpdateApp, trace, end)
			}
			r.kill()
			r.start()
			if n == 3 {
				r.server.Cut(0, false)
			}
		}
		r.reported(trace, " RECEIVED UPDATING "+end)
		r.server.Cut(7000, false)
	}
	require.Len(t, r.master.Calls(), (kills+3)/4, "each was handed over once")
	r.kill()
	r.start()
	mqtttest.Until(t, "half-written files are gone", func() bool {
		left, err := filepath.Glob(filepath.Join(r.dir, dataDir, volume.Private, ".*"))
		return err == nil && len(left) == 0
	})
}
