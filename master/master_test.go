package master_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/apitest"
	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// device is a working directory with a master over a fake engine.
type device struct {
	dir     string
	server  string // of conf.yml; empty: a socket
	healthy string // update.healthy; newDevice: 100ms
	fake    *enginetest.Fake
	stop    func()
}

// newDevice makes the directory; its path is short, since a socket lies in it.
func newDevice(t testing.TB) *device {
	dir, err := os.MkdirTemp("", "bm")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &device{dir: dir, healthy: "100ms", fake: enginetest.NewFake()}
}

func (d *device) path(rel string) string { return filepath.Join(d.dir, rel) }

func (d *device) write(t testing.TB, rel, content string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(d.path(rel)), 0o755))
	require.NoError(t, os.WriteFile(d.path(rel), []byte(content), 0o644))
}

func (d *device) read(t testing.TB, rel string) string {
	data, err := os.ReadFile(d.path(rel))
	require.NoError(t, err)
	return string(data)
}

// config writes a configuration and reads it.
func (d *device) config(t testing.TB) master.Config {
	if d.server == "" {
		d.server = "{address: 'unix://var/run/baetyl.sock'}"
	}
	d.write(t, master.ConfigFile,
		"mode: native\nserver: "+d.server+"\ngrace: 10s\nupdate: {healthy: "+d.healthy+", deadline: 1m}\n")
	cfg, err := master.LoadConfig(d.path(master.ConfigFile))
	require.NoError(t, err)
	return cfg
}

func (d *device) master(t testing.TB) *master.Master {
	m, err := master.New(d.config(t), d.fake,
		master.Options{Workdir: d.dir, Version: "1.2.3", Revision: "git-x", Log: log.Discard()})
	require.NoError(t, err)
	return m
}

// api is how the command line serves m.
func (d *device) api(t testing.TB, m *master.Master) master.API {
	cfg, err := master.LoadConfig(d.path(master.ConfigFile))
	require.NoError(t, err)
	return http.NewServer(cfg.Listen(d.dir), apitest.Load(t).Handler(t, api.New(m.Services(), m, log.Discard())))
}

// boot runs a master until the test ends or stop is called. The application always has a service called probe, whose
// token the test uses.
func (d *device) boot(t testing.TB) *master.Master {
	m := d.master(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, d.api(t, m)) }()
	stopped := false
	d.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(d.stop)
	return m
}

const probe = "services: [{name: probe, image: i, replica: 1, api: [inspect, update, ports, start, stop, report]}]\n"

// client calls as the service probe, once it runs.
func (d *device) client(t testing.TB) *http.Client {
	require.Eventually(t, func() bool { return d.fake.Env("probe") != nil }, time.Minute, time.Millisecond,
		"service probe was not started")
	env := d.fake.Env("probe")
	return d.clientAs(t, "probe", env[masterapi.EnvServiceToken])
}

func (d *device) clientAs(t testing.TB, name, token string) *http.Client {
	c, err := http.NewClient(http.ClientConfig{
		Address: "unix://" + d.path("var/run/baetyl.sock"), Username: name, Password: conf.Secret(token),
		Timeout: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func inspect(t testing.TB, c *http.Client) masterapi.Inspect {
	var out masterapi.Inspect
	require.NoError(t, c.Get(t.Context(), masterapi.PathInspect, &out))
	return out
}

func requireStatus(t testing.TB, err error, status int, text string) {
	t.Helper()
	var e *http.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status, err.Error())
	require.NotEmpty(t, e.Code)
	require.ErrorContains(t, err, text)
}

func TestInspect(t *testing.T) {
	d := newDevice(t)
	d.write(t, application.File, `
version: v7
services:
  - {name: probe, image: i, replica: 1, api: [inspect, update, ports, start, stop, report]}
  - {name: idle, image: i, mounts: [{name: v, path: p}]}
volumes: [{name: v, path: var/db/baetyl/v, meta: {version: v2}}]
`)
	d.boot(t)
	c := d.client(t)
	require.Eventually(t, func() bool { return len(inspect(t, c).Services) == 2 }, time.Minute, time.Millisecond,
		"service idle is missing")
	got := inspect(t, c)
	require.Empty(t, got.Error)
	require.Equal(t, "v7", got.Software.ConfVersion)
	require.Equal(t, "native", got.Software.Mode)
	require.Equal(t, "1.2.3", got.Software.BinVersion)
	require.Equal(t, d.dir, got.Software.PWD)
	require.Equal(t, []masterapi.Volume{{Name: "v", Path: "var/db/baetyl/v", Version: "v2"}}, got.Volumes)
	require.Equal(t, "idle", got.Services[0].Name)
	require.Equal(t, masterapi.StatusRunning, got.Services[1].Instances[0].Status)
	require.Eventually(t, func() bool { return inspect(t, c).Hardware.Host != nil }, time.Minute,
		time.Millisecond, "host_stats are missing")

	raw := map[string]json.RawMessage{}
	require.NoError(t, c.Get(t.Context(), masterapi.PathInspect, &raw))
	hardware := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal(raw["hardware"], &hardware))
	for _, key := range []string{"host_stats", "net_stats", "mem_stats", "cpu_stats", "disk_stats"} {
		require.Contains(t, hardware, key)
	}
}

// How long inspect takes: it must not wait for a measurement.
func BenchmarkInspect(b *testing.B) {
	d := newDevice(b)
	d.write(b, application.File, probe)
	d.boot(b)
	c := d.client(b)
	for b.Loop() {
		inspect(b, c)
	}
}

func TestInstancesThroughTheAPI(t *testing.T) {
	d := newDevice(t)
	d.write(t, application.File, strings.Replace(probe, "}]", "}, {name: f, image: i}]", 1))
	d.boot(t)
	c := d.client(t)
	require.Eventually(t, func() bool { return len(inspect(t, c).Services) == 2 }, time.Minute, time.Millisecond,
		"service f is missing")
	ctx := t.Context()

	var port masterapi.PortAvailable
	require.NoError(t, c.Get(ctx, masterapi.PathPortAvailable, &port))
	l, err := net.Listen("tcp", "127.0.0.1:"+port.Port)
	require.NoError(t, err)
	require.NoError(t, l.Close())

	require.NoError(t, c.Put(ctx, masterapi.PathInstance("f", "f.x.1", "start"), map[string]string{"BAETYL_K": "V"}, nil))
	require.Equal(t, "V", d.fake.Env("f.x.1")["BAETYL_K"])
	require.Empty(t, d.fake.Env("f.x.1")[masterapi.EnvServiceToken])
	require.Equal(t, "v1", d.fake.Env("f.x.1")[masterapi.EnvAPIVersion])
	require.NotEmpty(t, d.fake.Env("f.x.1")["OPENEDGE_MASTER_API"])
	var nothing map[string]string
	require.NoError(t, c.Put(ctx, masterapi.PathInstance("f", "f.x.2", "start"), &nothing, nil), "a body of null")
	require.Empty(t, d.fake.Env("f.x.2")[masterapi.EnvServiceToken])
	require.NoError(t, c.Put(ctx, masterapi.PathInstance("f", "f.x.1", "stop"), nil, nil))
	require.Equal(t, []string{"f.x.2", "probe"}, d.fake.Running())
	require.NoError(
		t,
		c.Put(ctx,
			strings.TrimPrefix(masterapi.PathInstance("f", "f.x.2", masterapi.ActionStop), "/"+masterapi.Version),
			nil, nil),
		"routes without a version are those of old clients",
	)

	require.NoError(t,
		c.Put(ctx, masterapi.PathInstance("probe", "probe", "report"), map[string]any{"stats": map[string]int{"n": 1}}, nil))
	services := inspect(t, c).Services
	require.JSONEq(t, `{"n":1}`, string(services[1].Instances[0].Reported["stats"]))

	put := func(path string, in any) error { return c.Put(ctx, path, in, nil) }
	requireStatus(t, put(masterapi.PathInstance("f", "f.x.1", "report"), map[string]int{}), 403, "may not")
	requireStatus(t, put(masterapi.PathInstance("probe", "ghost", "report"), map[string]int{"a": 1}), 404,
		"instance (ghost) of service (probe) not found")
	requireStatus(t, put(masterapi.PathInstance("probe", "probe", "report"), map[string]int{"name": 1}), 400, `key "name"`)
	requireStatus(t, put(masterapi.PathInstance("probe", "probe", "report"), &nothing), 400, "expected a JSON object")
	requireStatus(t, put(masterapi.PathInstance("zzz", "zzz", "start"), map[string]string{}), 404,
		"service (zzz) not found")
	requireStatus(t, put(masterapi.PathInstance("f", "../x", "start"), map[string]string{}), 400, "name of instance")
	requireStatus(t, put(masterapi.PathInstance("f", "f", "start"), nil), 400, "unexpected end of JSON input")
	requireStatus(t, put(masterapi.PathInstance("f", "f", "start"), map[string]int{"a": 1}), 400,
		"cannot unmarshal number")
	requireStatus(t,
		put(masterapi.PathInstance("f", "f", "start"), map[string]string{"a": strings.Repeat("x", 1<<20)}), 413,
		"larger than")
	requireStatus(t, put(masterapi.PathInspect, nil), 405, "use GET")
	requireStatus(t, put("/v1/nothing", nil), 404, "404 page not found")
	d.fake.FailStart("f.bad", errors.New("boom"))
	requireStatus(t, put(masterapi.PathInstance("f", "f.bad", "start"), map[string]string{}), 500, "boom")
	requireStatus(t, d.clientAs(t, "probe", "wrong").Get(ctx, masterapi.PathInspect, nil), 401, "account unauthorized")
	requireStatus(t, d.clientAs(t, "", "").Get(ctx, masterapi.PathInspect, nil), 401, "account unauthorized")
}

func TestPortsAreNotGivenTwice(t *testing.T) {
	m := newDevice(t).master(t)
	seen := map[string]bool{}
	for range 300 {
		p, err := m.AvailablePort()
		require.NoError(t, err)
		require.False(t, seen[p], p)
		seen[p] = true
	}
}

// A broken application leaves the master up, and the next one can be put in its place. No service has a token then, so
// the master is asked directly.
func TestBrokenApplicationAtBoot(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key": "services: [{nam: a}]\n",
		"panics 2019": "services: {a: {image: i, environment: [1]}}\n",
		"missing vol": "services: [{name: a, image: i, mounts: [{name: v, path: p}]}]\n",
		"too large":   strings.Repeat("#", 10<<20),
		"not YAML":    "\x00\x01",
		"circle":      "services: [{name: a, image: i, depends_on: [a]}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			d.write(t, application.File, text)
			m := d.boot(t)
			require.Eventually(t, func() bool { return strings.Contains(m.Inspect().Error, "application.yml") },
				time.Minute, time.Millisecond, "inspect does not name the file")
			requireStatus(t, d.clientAs(t, "a", "b").Get(t.Context(), masterapi.PathInspect, nil), 401, "unauthorized")

			d.write(t, "var/db/baetyl/next/application.yml", probe)
			require.Eventually(t, func() bool {
				return m.Update(masterapi.UpdateRequest{Path: "var/db/baetyl/next"}, masterapi.By{}) == nil
			}, time.Minute, time.Millisecond, "the update is not taken")
			c := d.client(t)
			require.Eventually(t, func() bool { return inspect(t, c).Error == "" }, time.Minute,
				time.Millisecond, "the error stays")
		})
	}
}

func TestMissingApplicationIsAnEmptyOne(t *testing.T) {
	d := newDevice(t)
	m := d.boot(t)
	require.Eventually(t, func() bool { return m.Inspect().Hardware.Host != nil }, time.Minute, time.Millisecond,
		"the master did not come up")
	require.Empty(t, m.Inspect().Error)
	d.stop()
	require.NoFileExists(t, d.path("var/run/baetyl.sock"))
}

func TestServiceThatCannotStartHoldsUpNoOther(t *testing.T) {
	d := newDevice(t)
	d.fake.FailOpen("bad", errors.New("no such package"))
	d.write(t, application.File, strings.Replace(probe, "[{", "[{name: bad, image: i, replica: 1}, {", 1))
	d.boot(t)
	c := d.client(t)
	require.Eventually(t, func() bool {
		s := inspect(t, c).Services
		return len(s) == 2 && s[0].Instances[0].Status == masterapi.StatusFailed &&
			strings.Contains(s[0].Error, "no such package")
	}, time.Minute, time.Millisecond, "the failure is not shown")
}

func TestSecondMasterIsRefused(t *testing.T) {
	d := newDevice(t)
	d.write(t, application.File, probe)
	d.boot(t)
	d.client(t)
	second := d.master(t)
	require.ErrorContains(t, second.Run(t.Context(), d.api(t, second)), "another master runs in")
	require.Equal(t, []string{"probe"}, d.fake.Running(), "and it touched nothing")
}

func TestUpdate(t *testing.T) {
	const v1 = `
version: v1
services:
  - {name: probe, image: i, replica: 1, api: [inspect, update, ports, start, stop, report]}
  - {name: changed, image: i, replica: 1}
  - {name: removed, image: i, replica: 1}
`
	const v2 = `
version: v2
services:
  - {name: new, image: i, replica: 1}
  - {name: changed, image: j, replica: 1}
  - {name: probe, image: i, replica: 1, api: [inspect, update, ports, start, stop, report]}
`
	boot := func(t *testing.T) (*device, *http.Client) {
		d := newDevice(t)
		d.write(t, application.File, v1)
		d.boot(t)
		c := d.client(t)
		require.Eventually(t, func() bool { return len(d.fake.Running()) == 3 }, time.Minute, time.Millisecond,
			"not booted")
		return d, c
	}
	update := func(t *testing.T, c *http.Client, r masterapi.UpdateRequest) error {
		var err error
		require.Eventually(t, func() bool { // busy while the boot has not quite ended
			err = c.Put(t.Context(), masterapi.PathUpdate, r, nil)
			var e *http.Error
			return !errors.As(err, &e) || e.Status != 409
		}, time.Minute, time.Millisecond, "still busy")
		return err
	}

	t.Run("good", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		require.NoError(t, update(t, c, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2/application.yml"}))
		require.Eventually(t, func() bool { return inspect(t, c).Software.ConfVersion == "v2" }, time.Minute,
			time.Millisecond, "v2 did not take over")
		require.Equal(t, []string{"changed", "new", "probe"}, d.fake.Running())
		require.Equal(t, 1, d.fake.Starts("probe"), "what has not changed keeps its process and token")
		require.Equal(t, 2, d.fake.Starts("changed"))
		require.Equal(t, v2, d.read(t, application.File))
		require.Eventually(t, func() bool {
			_, err := os.Stat(d.path(application.File + ".old"))
			return os.IsNotExist(err)
		}, time.Minute, time.Millisecond, "the backup stays")
	})
	t.Run("a service that cannot start puts the old application back", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		d.fake.FailStart("new", errors.New("boom"))
		require.NoError(t, update(t, c, masterapi.UpdateRequest{File: "var/db/baetyl/app/v2"})) // the key of 0.1.3
		require.Eventually(t, func() bool { return strings.Contains(inspect(t, c).Error, "boom") }, time.Minute,
			time.Millisecond, "no error is shown")
		require.Equal(t, []string{"changed", "probe", "removed"}, d.fake.Running())
		require.Equal(t, 1, d.fake.Starts("probe"))
		require.Equal(t, "v1", inspect(t, c).Software.ConfVersion)
		require.Equal(t, v1, d.read(t, application.File))
		require.NoFileExists(t, d.path(application.File+".old"))
	})
	t.Run("a service that cannot be put back does not stop the others", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		d.fake.FailStart("new", errors.New("boom"))
		d.fake.FailStart("changed", errors.New("bang"))
		require.NoError(t, update(t, c, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2"}))
		require.Eventually(t, func() bool { return strings.Contains(inspect(t, c).Error, "bang") }, time.Minute,
			time.Millisecond, "no error is shown")
		require.Equal(t, []string{"probe", "removed"}, d.fake.Running())
		d.fake.FailStart("changed", nil)
		require.Eventually(t, func() bool { return len(d.fake.Running()) == 3 }, time.Minute, time.Millisecond,
			"it is not tried again")
	})
	t.Run("a service that could not start is found before anything is stopped", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		d.fake.FailOpen("new", errors.New("no such image"))
		require.NoError(t, update(t, c, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2"}))
		require.Eventually(t, func() bool { return strings.Contains(inspect(t, c).Error, "no such image") },
			time.Minute, time.Millisecond, "no error is shown")
		require.Equal(t, 1, d.fake.Starts("changed"))
	})
	t.Run("one at a time", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		d.fake.SlowStart(time.Minute)
		require.NoError(t, update(t, c, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2"}))
		requireStatus(t,
			c.Put(t.Context(), masterapi.PathUpdate, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2"}, nil),
			409, "try again later")
	})
	t.Run("a master that ends meanwhile starts the old application next time", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/app/v2/application.yml", v2)
		d.fake.SlowStart(time.Minute)
		require.NoError(t, update(t, c, masterapi.UpdateRequest{Path: "var/db/baetyl/app/v2"}))
		require.Eventually(t, func() bool { return d.read(t, application.File) == v2 }, time.Minute,
			time.Millisecond, "the update did not begin")
		d.stop()
		require.Equal(t, v1, d.read(t, application.File))
		require.Empty(t, d.fake.Running())
		require.Equal(t, []string{"UPDATING", "ROLLINGBACK"}, stepsOf(d.records(t)))
		d.fake.SlowStart(0)
		d.boot(t)
		require.Equal(t, masterapi.StepRolledBack, d.ended(t)[2].Step)
		require.Len(t, d.fake.Running(), 3)
	})
	t.Run("refused", func(t *testing.T) {
		d, c := boot(t)
		d.write(t, "var/db/baetyl/bad.yml", "services: [{nam: x}]\n")
		d.write(t, "etc/other.yml", probe)
		d.write(t, "var/db/baetyl/v2.yml", v2)
		d.write(t, "var/db/baetyl/empty.yml", "\n")
		d.write(t, "var/db/baetyl/alone.yml", "services: [{name: other, image: i, replica: 1, api: [update]}]\n")
		require.NoError(t, os.Symlink(d.path("etc/other.yml"), d.path("var/db/baetyl/link.yml")))
		require.NoError(t, syscall.Mkfifo(d.path("var/db/baetyl/pipe"), 0o644))
		for _, r := range []struct {
			request masterapi.UpdateRequest
			status  int
			text    string
		}{
			{masterapi.UpdateRequest{}, 422, "path: must not be empty"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/bad.yml"}, 422, `services[0].nam: unknown key; did you mean "name"?`},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/none.yml"}, 422, "no such file"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/bad.yml/x"}, 422, "var/db/baetyl/bad.yml/x: not a directory"},
			{masterapi.UpdateRequest{Path: "etc/other.yml"}, 422, "is not below var/db/baetyl; copy it there"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/../../../etc/other.yml"}, 422, "path"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/link.yml"}, 422, "is not below var/db/baetyl"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/pipe"}, 422, "is not a file"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/v2.yml", SHA256: "00"}, 422, "sha256: the candidate has "},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/empty.yml"}, 422, "empty.yml: is empty"},
			{masterapi.UpdateRequest{Path: "var/db/baetyl/alone.yml"}, 422, "alone.yml: it has no service probe, which asks"},
			{masterapi.UpdateRequest{Type: "MST", Path: "var/db/baetyl/bad.yml"}, 422, "does not know its own program"},
			{masterapi.UpdateRequest{Type: "XYZ", Path: "var/db/baetyl/bad.yml"}, 422, `type "XYZ"`},
		} {
			requireStatus(t, update(t, c, r.request), r.status, r.text)
		}
		require.Equal(t, v1, d.read(t, application.File))
		require.Len(t, d.fake.Running(), 3)
		require.NoFileExists(t, d.path(masterapi.OTALog), "a refused update writes nothing")
		require.NoFileExists(t, d.path("var/db/baetyl/update.json"))
	})
}

// What a master that was killed in an update leaves, and what the next one does with it.
func TestBootAfterAnUnfinishedUpdate(t *testing.T) {
	const old, next, bad = "version: old\n" + probe, "version: next\n" + probe, "services: 7\n"
	for name, c := range map[string]struct{ file, backup, version, failure string }{
		"whole backup":                 {next, old, "old", ""},
		"damaged backup":               {next, bad, "next", ""},
		"damaged file":                 {bad, old, "old", ""},
		"both damaged":                 {bad, bad, "", "load application"},
		"there was no application yet": {next, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			d.write(t, application.File, c.file)
			d.write(t, application.File+".old", c.backup)
			m := d.boot(t)
			require.Eventually(t, func() bool {
				_, err := os.Stat(d.path(application.File + ".old"))
				i := m.Inspect()
				return os.IsNotExist(err) && i.Software.ConfVersion == c.version && strings.Contains(i.Error, c.failure) &&
					(c.failure != "") == (i.Error != "")
			}, time.Minute, time.Millisecond, "not as wanted")
		})
	}
}

func TestConfig(t *testing.T) {
	load := func(text string) (master.Config, error) {
		path := filepath.Join(t.TempDir(), "conf.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return master.LoadConfig(path)
	}
	c, err := load("")
	require.NoError(t, err)
	require.Equal(t, "docker", c.Mode)
	require.Equal(t, 30*time.Second, c.Grace)
	require.Equal(t, 5*time.Minute, c.Server.Timeout)
	require.Equal(t, "unix:///var/run/baetyl.sock", c.Server.Address)
	require.Equal(t, "var/db/baetyl/ota.log", c.OTALog.Path)
	require.Equal(t, "json", c.OTALog.Format)
	require.Equal(t, 50, c.Logger.Size.Max)
	require.Equal(t, 10*time.Second, c.Update.Healthy)
	require.Equal(t, 5*time.Minute, c.Update.Deadline)
	require.Zero(t, c.Native.Users, "chosen on the host")
	require.Equal(t, "baetyl", c.Server.Group)
	missing, err := master.LoadConfig(filepath.Join(t.TempDir(), "none.yml"))
	require.NoError(t, err)
	require.Equal(t, c, missing)

	c, err = load(
		"mode: native\nserver: {timeout: 30s}\nlogger: {level: debug, age: {max: 3}}\notalog: {format: text}\ngrace: 1m\n",
	)
	require.NoError(t, err)
	require.Equal(t, "unix:///var/run/baetyl.sock", c.Server.Address)
	require.Equal(t, 30*time.Second, c.Server.Timeout)
	require.Equal(t, "text", c.OTALog.Format)
	require.Equal(t, time.Minute, c.Grace)

	t.Setenv(masterapi.EnvAPIAddress, "tcp://127.0.0.1:50051")
	c, err = load("mode: native\n")
	require.NoError(t, err)
	require.Equal(t, "tcp://127.0.0.1:50051", c.Server.Address)

	for text, want := range map[string]string{
		"mod: native":                         `mod: unknown key; did you mean "mode"?`,
		"mode: podman":                        `mode: must be docker or native; found "podman"`,
		"grace: 30":                           "grace: a duration needs a unit",
		"grace: 0s":                           "grace: must be more than 0s; found 0s",
		"update: {healthy: 1m, deadline: 1m}": "update.deadline: 1m0s is not more than update.healthy",
		"update: {helthy: 1m}":                `update.helthy: unknown key; did you mean "healthy"?`,
		"server: {address: 'http://x:1'}":     "server.address",
		"server: {address: 'tcp://x'}":        "write tcp://host:port",
		"server: {addres: x}":                 `server.addres: unknown key; did you mean "address"?`,
		"server: {cert: a}":                   "cert and key must be set together",
		"logger: {level: loud}":               "logger.level",
		"logger: {path: x, size: {max: 0}}":   "logger.size.max",
	} {
		_, err := load(text)
		require.ErrorContains(t, err, want)
	}
}

func TestWrongConfigurations(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		return conf.Parse("conf.yml", text, &master.Config{})
	})
}

func TestCheckTouchesNothing(t *testing.T) {
	d := newDevice(t)
	require.NoError(t, checked(d.dir, master.ConfigFile))
	entries, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	d.write(t, application.File, "services: [{nam: x}]\n")
	require.ErrorContains(t, checked(d.dir, master.ConfigFile), "application.yml: services[0].nam: unknown key")
	d.write(t, master.ConfigFile, "mode: x\n")
	require.ErrorContains(t, checked(d.dir, master.ConfigFile), "conf.yml: mode")
}
