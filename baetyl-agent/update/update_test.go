package update_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/update"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

var bg = context.Background()

// rig is the agent without its connections: store, volumes and updater on a folder, with a master and a server of
// packages.
type rig struct {
	t       *testing.T
	dir     string
	server  *agenttest.Server
	master  *agenttest.Master
	events  *eventstore.Store
	volumes *volume.Store
	disk    file.Disk // zero: file.OS
	timeout time.Duration
	stop    func() // ends the updater, waits for it, and closes its files; more than once does no harm
	log     *bytes.Buffer
	logger  log.Logger
}

func newRig(t *testing.T) *rig {
	r := prepareRig(t, filepath.Join(t.TempDir(), "volumes"), agenttest.NewServer(t, false))
	r.start()
	return r
}

// prepareRig is newRig without the start.
func prepareRig(t *testing.T, dir string, s *agenttest.Server) *rig {
	require.NoError(t, os.MkdirAll(dir, 0o755))
	r := &rig{
		t:       t,
		dir:     dir,
		server:  s,
		master:  agenttest.NewMaster(dir),
		timeout: 10 * time.Second,
		stop:    func() {},
		log:     &bytes.Buffer{},
	}
	r.logger = log.NewTo(r.log, log.Config{Level: "debug"})
	t.Cleanup(func() {
		r.stop()
		require.NotContains(t, r.log.String(), "secret", "no URL is logged: it may hold a secret")
	})
	return r
}

// start is what a new process does.
func (r *rig) start() {
	require.NoError(r.t, r.open())
	r.run()
}

// open is the first part of start.
func (r *rig) open() (err error) {
	private := filepath.Join(r.dir, volume.Private)
	r.events, err = eventstore.Open(bg, eventstore.Config{Dir: private, Disk: r.disk, Log: r.logger})
	if err != nil {
		return err
	}
	r.volumes, err = volume.Open(volume.Config{
		Dir:     r.dir,
		Disk:    r.disk,
		Client:  http.DefaultClient,
		Timeout: r.timeout,
		Log:     r.logger,
		Limits:  volume.Limits{Package: 1 << 20, Unpacked: 1 << 20, Files: 100},
		Retry:   backoff.Policy{Min: time.Millisecond, Max: 10 * time.Millisecond},
	})
	if err != nil {
		return errors.Join(err, r.events.Close())
	}
	r.stop = func() { // if run is not called
		r.volumes.Close()
		r.events.Close()
		r.stop = func() {}
	}
	return nil
}

// run is the second part of start.
func (r *rig) run() {
	u := &update.Updater{
		Events:  r.events,
		Volumes: r.volumes,
		Master:  r.master,
		LogPath: filepath.Join(r.dir, "ota.log"),
		Disk:    r.disk,
		Timeout: r.timeout,
		Poll:    2 * time.Millisecond,
		Log:     r.logger,
	}
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	end := r.stop
	r.stop = func() {
		cancel()
		require.NoError(r.t, <-ended)
		end()
	}
}

func (r *rig) restart() {
	r.stop()
	r.start()
}

func (r *rig) add(o cloud.OTA) {
	_, err := r.events.Add(bg, o, time.Now())
	require.NoError(r.t, err)
}

// app puts an application of one service and its configuration on the server.
func (r *rig) app(trace, version string) cloud.OTA {
	data := agenttest.Zip(r.t, agenttest.Entry{Name: "service.yml", Data: version})
	conf := r.server.Put("hub-conf", "var/db/baetyl/hub-conf/"+version, data)
	text := fmt.Sprintf(`version: %s
services: [{name: hub, image: hub, mounts: [{name: hub-conf, path: etc/baetyl}]}]
volumes: [{name: hub-conf, path: %s, meta: {url: "%s", md5: "%s", version: %s}}, {name: agent, path: var/db/baetyl}]
`, version, conf.Path, conf.Meta.URL, conf.Meta.MD5, version)
	return r.pack(trace, version, agenttest.Entry{Name: "application.yml", Data: text})
}

func (r *rig) pack(trace, version string, files ...agenttest.Entry) cloud.OTA {
	return cloud.OTA{
		Type:    masterapi.UpdateApp,
		Trace:   trace,
		Version: version,
		Volume:  r.server.Put("app", "var/db/baetyl/app/"+version, agenttest.Zip(r.t, files...)),
	}
}

// job waits until the job of trace is done and cleaned up, and returns its steps and its last error.
func (r *rig) job(trace string) (steps, failure string) {
	mqtttest.Until(r.t, "update "+trace+" ends", func() bool {
		for _, j := range r.events.Jobs() {
			if j.OTA.Trace == trace {
				steps = ""
				for _, s := range j.Steps {
					steps += " " + s.Step
				}
				failure = j.Steps[len(j.Steps)-1].Error
				return j.Done() && !j.Clean
			}
		}
		return false
	})
	return steps[1:], failure
}

func (r *rig) read(path string) string {
	data, _ := os.ReadFile(filepath.Join(r.dir, path))
	return string(data)
}

func TestApplicationUpdates(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "hand/made"), 0o755))
	r.add(r.app("t1", "v1"))
	steps, _ := r.job("t1")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps)
	want := []masterapi.UpdateRequest{{Type: "APP", Path: "var/db/baetyl/app/v1/application.yml", Trace: "t1"}}
	require.Equal(t, want, r.master.Calls())
	require.Equal(t, "v1", r.read("hub-conf/v1/service.yml"))

	r.add(r.app("t2", "v2"))
	steps, _ = r.job("t2")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps)
	require.Equal(t, "v2", r.read("hub-conf/v2/service.yml"))
	require.NoDirExists(t, filepath.Join(r.dir, "hub-conf/v1"), "old volumes go")
	require.NoDirExists(t, filepath.Join(r.dir, "app/v1"))
	require.DirExists(t, filepath.Join(r.dir, "hand/made"))

	r.master.Steps("UPDATING", "ROLLINGBACK", "ROLLEDBACK")
	r.add(r.app("t3", "v3"))
	steps, _ = r.job("t3")
	require.Equal(t, "RECEIVED UPDATING ROLLINGBACK ROLLEDBACK", steps)
	require.Equal(t, "v2", r.read("hub-conf/v2/service.yml"), "what runs stays")

	r.master.Steps("UPDATING", "UPDATED")
	r.add(r.app("t4", "v4"))
	r.job("t4")
	for _, gone := range []string{"hub-conf/v2", "hub-conf/v3", "app/v3"} {
		require.NoDirExists(t, filepath.Join(r.dir, gone), "the next successful update removes what a rolled-back one left")
	}
}

// What the cloud says of the way back reaches the master.
func TestForcedUpdate(t *testing.T) {
	r := newRig(t)
	o := r.app("t1", "v1")
	o.Force = true
	r.add(o)
	r.job("t1")
	want := masterapi.UpdateRequest{Type: "APP", Path: "var/db/baetyl/app/v1/application.yml", Trace: "t1", Force: true}
	require.Equal(t, []masterapi.UpdateRequest{want}, r.master.Calls())
}

func TestMasterUpdates(t *testing.T) {
	r := newRig(t)
	o := r.pack("m1", "v9", agenttest.Entry{Name: "bin/baetyl", Mode: 0o755, Data: "#!"})
	o.Type = masterapi.UpdateMaster
	r.master.Steps("UPDATING", "RESTARTING")
	r.add(o)
	mqtttest.Until(t, "RESTARTING is noted", func() bool { return len(r.events.Jobs()[0].Steps) == 3 })
	r.restart()                        // the new master restarts its services
	r.master.Log("APP", "", "UPDATED") // records with another trace, or none, do not end this update
	r.master.Log("APP", "another", "FAILURE")
	r.master.Log("MST", "m1", "UPDATED")
	steps, _ := r.job("m1")
	require.Equal(t, "RECEIVED UPDATING RESTARTING UPDATED", steps)
	want := []masterapi.UpdateRequest{{Type: "MST", Path: "var/db/baetyl/app/v9/bin/baetyl", Trace: "m1"}}
	require.Equal(t, want, r.master.Calls())

	o = r.pack("m2", "v10", agenttest.Entry{Name: "baetyl", Data: "x"})
	o.Type = masterapi.UpdateMaster
	r.add(o)
	_, failure := r.job("m2")
	require.Equal(t, "read package: it has no file bin/baetyl", failure)
}

func TestUpdatesThatFailBeforeTheMasterHasThem(t *testing.T) {
	r := newRig(t)
	app := func(text string) []agenttest.Entry { return []agenttest.Entry{{Name: "application.yml", Data: text}} }
	const good = "version: v\nservices: [{name: a, image: a}]\n"
	metadata := func(text string) []agenttest.Entry {
		return append(app(good), agenttest.Entry{Name: "metadata.yml", Data: text})
	}
	const md5 = "md5: 1B2M2Y8AsgTpgAmY7PhCfg=="
	volumes := func(entries ...string) string { return "volumes: [" + strings.Join(entries, ", ") + "]" }
	for i, c := range []struct {
		files []agenttest.Entry
		want  string
	}{
		{nil, "application.yml: open: no such file"},
		{app("version: v1"), "app config invalid: service list is empty"},
		{app("services: {}"), "app config invalid: service list is empty"},
		{app("services: [{name: a}]"), "image: must not be empty"},
		{metadata("volumes: 1"), "metadata.yml: volumes"},
		{metadata(volumes("{name: x, path: /etc/x, meta: {url: http://c/x, " + md5 + "}}")), "volumes[0].path:"},
		{metadata(volumes("{name: ../x, path: var/db/baetyl/x, meta: {url: http://c/x, " + md5 + "}}")), "volumes[0].name:"},
		{metadata(volumes("{name: x, path: var/db/baetyl/x, meta: {url: file:///c/x, " + md5 + "}}")), "volumes[0].meta.url:"},
		{metadata(volumes("{name: x, path: var/db/baetyl/x, meta: {url: http://c/x, "+md5+"}}",
			"{name: y, path: ./var/db/baetyl/x/, meta: {url: http://c/y, md5: AAAA2Y8AsgTpgAmY7PhCfg==}}")),
			"volumes[1].path: \"./var/db/baetyl/x/\" stands twice"},
		{metadata(volumes("{name: x, path: var/db/baetyl/x, meta: {url: '" + r.server.URL + "/none', " + md5 + "}}")),
			"prepare volume (x): download: server answers 404"},
	} {
		trace := fmt.Sprint("bad", i)
		r.add(r.pack(trace, trace, c.files...))
		steps, failure := r.job(trace)
		require.Equal(t, "RECEIVED FAILURE", steps)
		require.ErrorContains(t, fmt.Errorf("%s", failure), c.want)
		require.NoError(t, r.events.Reported(r.events.Jobs()))
	}
	require.Empty(t, r.master.Calls())
	r.master.Refuse(422)
	r.add(r.app("refused", "v1"))
	steps, failure := r.job("refused")
	require.Equal(t, "RECEIVED FAILURE", steps)
	require.Equal(t, "[422] refused with 422", failure)
}

// The compose form has the URLs of its volumes in metadata.yml.
func TestMetadata(t *testing.T) {
	r := newRig(t)
	conf := r.server.Put("conf", "var/db/baetyl/c/v1", agenttest.Zip(t, agenttest.Entry{Name: "f", Data: "conf"}))
	r.add(r.pack("c", "v1", agenttest.Entry{Name: "application.yml", Data: `
version: '3'
app_version: v1
services: {hub: {image: hub, volumes: ['var/db/baetyl/c/v1:/etc/baetyl', 'data:/data']}}
volumes: {data: {}}
`}, agenttest.Entry{Name: "metadata.yml", Data: fmt.Sprintf(`
version: v1
made_by: another program
volumes: [{name: conf, path: %s, meta: {url: '%s', sha256: %s}}]
`, conf.Path, conf.Meta.URL, conf.Meta.SHA256)}))
	steps, failure := r.job("c")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps, failure)
	require.Equal(t, "conf", r.read("c/v1/f"))
}

func TestABusyMasterIsAskedAgain(t *testing.T) {
	r := newRig(t)
	r.master.Refuse(409, 503, 409)
	r.add(r.app("t1", "v1"))
	steps, _ := r.job("t1")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps)

	r.master.Lose()
	r.add(r.app("t2", "v2"))
	steps, _ = r.job("t2")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps)
	require.Len(t, r.master.Calls(), 2, "the log says that it has the update although the answer was lost")

	r.timeout = 50 * time.Millisecond
	r.restart()
	statuses := make([]int, 1000)
	for i := range statuses {
		statuses[i] = 409
	}
	r.master.Refuse(statuses...)
	r.add(r.app("t3", "v3"))
	steps, failure := r.job("t3")
	require.Equal(t, "RECEIVED FAILURE", steps)
	require.Contains(t, failure, "[409]")
}

// A master that answers after Timeout gets as long again: its own deadline is as long as the agent's Timeout, and it
// puts the previous application back after that.
func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		away  bool
		after time.Duration // after which the master has put the previous application back; 0: never
		want  string
		error string
	}{
		{true, 0, "RECEIVED UPDATING TIMEOUT", "no step of the master for 2s"},
		{false, 0, "RECEIVED UPDATING TIMEOUT", "no step of the master for 4s"},
		{false, 2500 * time.Millisecond, "RECEIVED UPDATING ROLLEDBACK", ""},
	} {
		t.Run(c.want+c.error, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.timeout = 2 * time.Second
			r.restart()
			r.master.Steps("UPDATING")
			r.add(r.app("t1", "v1"))
			mqtttest.Until(t, "the master has it", func() bool { return len(r.master.Calls()) == 1 })
			r.master.Away(c.away)
			if c.after > 0 {
				time.AfterFunc(c.after, func() { r.master.Log("APP", "t1", "ROLLEDBACK") })
			}
			steps, failure := r.job("t1")
			require.Equal(t, c.want, steps)
			require.Equal(t, c.error, failure)
			require.DirExists(t, filepath.Join(r.dir, "hub-conf/v1"))
		})
	}
}

// A damaged log of the master does not stop an update.
func TestADamagedLogOfTheMaster(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "ota.log"), []byte("{\"step\":\n\x00\x00"), 0o600))
	r.add(r.app("t1", "v1"))
	steps, _ := r.job("t1")
	require.Equal(t, "RECEIVED UPDATING UPDATED", steps)
}
