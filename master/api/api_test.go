package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/apitest"
	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/master/login"
	"github.com/baetyl/baetyl/master/logs"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/ui"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// system stands in for the master, with the real manager of services and the real measurements.
type system struct {
	*service.Manager
	hardware masterapi.Hardware

	mu      sync.Mutex // guards what follows
	err     error      // of every call that can fail; nil: as the manager says
	panics  bool
	waiting int           // calls that wait
	hold    chan struct{} // until it is closed, calls wait; nil: they do not
}

func (s *system) set(err error, panics bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.panics = err, panics
}

func (s *system) failure() error {
	s.mu.Lock()
	if hold := s.hold; hold != nil {
		s.waiting++
		s.mu.Unlock()
		<-hold
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.panics {
		panic("boom")
	}
	return s.err
}

// broken is failure that never waits.
func (s *system) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		panic("boom")
	}
	return s.err
}

func (s *system) StartInstance(
	ctx context.Context, name, instance string, vars map[string]string, by *service.Caller,
) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.StartInstance(ctx, name, instance, vars, by)
}

func (s *system) StopInstance(ctx context.Context, name, instance string, by *service.Caller) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.StopInstance(ctx, name, instance, by)
}

func (s *system) KillInstance(ctx context.Context, name, instance string, by *service.Caller) error {
	if err := s.failure(); err != nil {
		return err
	}
	return errors.Join(s.Manager.KillInstance(ctx, name, instance, by), errors.New("killed"))
}

func (s *system) Report(service, instance string, report map[string]json.RawMessage) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Manager.Report(service, instance, report)
}

func (s *system) Inspect() *masterapi.Inspect {
	_ = s.failure() // inspect has none
	return &masterapi.Inspect{
		Error: "not as wanted", Time: time.Now().UTC(),
		Software: masterapi.Software{OS: "linux", Mode: masterapi.ModeNative},
		Hardware: s.hardware,
		Services: s.Manager.Inspect(),
		Volumes:  []masterapi.Volume{{Name: "v", Path: "var/db/baetyl/v", Version: "v2"}},
	}
}

func (s *system) Health() masterapi.SystemHealth {
	_ = s.failure() // health has none
	return masterapi.SystemHealthOf(s.Manager.Health(), "not as wanted")
}

func (s *system) Update(masterapi.UpdateRequest, masterapi.By) error { return s.failure() }

func (s *system) AvailablePort() (string, error) { return "4711", s.failure() }

func (s *system) Events() *events.Ring {
	_ = s.broken()
	r := events.New(10)
	for n := range 3 {
		r.Add(masterapi.EventInstanceStarted, "all", "all", fmt.Sprint("started ", n), nil)
	}
	return r
}

func (s *system) Logs(q logs.Query) (func(context.Context, func(masterapi.LogLine) error) error, error) {
	if slices.Contains(q.Services, "ghost") {
		return nil, fmt.Errorf("service (ghost) %w", service.ErrNotFound)
	}
	return func(_ context.Context, send func(masterapi.LogLine) error) error {
		return send(masterapi.LogLine{
			Time: q.Since, Service: "all", Text: fmt.Sprint("tail ", q.Tail, q.Services),
		})
	}, s.broken()
}

func (s *system) Statuses(measured bool) []masterapi.ServiceStatus {
	_ = s.failure()
	return s.Manager.Statuses(measured)
}

func (s *system) Status(name string) (masterapi.ServiceStatus, error) {
	if err := s.failure(); err != nil {
		return masterapi.ServiceStatus{}, err
	}
	return s.Manager.Status(name)
}

func (s *system) Restart(string) error { return s.failure() }
func (s *system) StopAll(string) error { return s.failure() }

func (s *system) Backup(_ context.Context, w io.Writer, _ masterapi.BackupRequest) error {
	if err := s.failure(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "an archive")
	return err
}

func (s *system) Bundle(ctx context.Context, w io.Writer) error {
	return s.Backup(ctx, w, masterapi.BackupRequest{})
}

func (s *system) Examine(context.Context, bool) masterapi.Examination {
	_ = s.failure()
	found := masterapi.Finding{ID: "disk", Severity: masterapi.SeverityOK, Text: "1 MB free"}
	return masterapi.Examination{Findings: []masterapi.Finding{found}}
}

func (s *system) Prune(_ context.Context, r masterapi.PruneRequest) masterapi.Pruned {
	_ = s.failure() // what fails is in the answer
	return masterapi.Pruned{DryRun: r.DryRun, Removed: []masterapi.PrunedItem{
		{Kind: masterapi.PrunedNetwork, Name: "old", ID: "n1"},
	}}
}

func (s *system) Reload() (masterapi.Reloaded, error) {
	return masterapi.Reloaded{Effective: []string{"grace"}}, s.failure()
}

// rig is the real handler; each answer is checked against the document.
type rig struct {
	t       *testing.T
	spec    *apitest.Spec
	system  *system
	fake    *enginetest.Fake
	tokens  map[string]string // by service
	handler nethttp.Handler
	admin   string // path of the socket for persons
	page    *api.Page
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, spec: apitest.Load(t), fake: enginetest.NewFake(), tokens: map[string]string{}}
	r.system = &system{Manager: service.New(service.Options{
		Engine: r.fake, Records: service.NewRecords(t.TempDir()+"/instances.json", file.OS, log.Discard()),
		Grace: time.Minute, Log: log.Discard(),
	})}
	var cpu measure.CPUMeter
	r.system.hardware = masterapi.Hardware{
		Host: measure.GetInfo(), Net: measure.GetNet(), Mem: measure.GetMem(), CPU: cpu.Get(), Disk: measure.GetDisk(),
		GPU: []host.GPU{{Index: "0", Model: "m", MemTotal: 1, MemFree: 1, MemUsedPercent: 8, GPUUsedPercent: 50}},
	}
	t.Cleanup(func() { require.NoError(t, r.system.Stop(t.Context(), r.system.Names()...)) })
	var all []app.Right
	for _, name := range []string{"inspect", "update", "ports", "start", "stop", "report"} {
		all = append(all, app.Right{Name: name})
	}
	r.serveModule()
	r.run(app.Service{Name: "all", Replica: 1, API: all})
	r.run(app.Service{Name: "none", Replica: 1, API: []app.Right{}})
	r.run(app.Service{Name: "f"})
	r.run(app.Service{Name: "socket", Image: "socket"})
	handler := api.New(r.system, r.system, log.Discard())
	// As protocol/http.Server does it.
	r.handler = nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		q.Body = nethttp.MaxBytesReader(w, q.Body, http.MaxBody)
		r.spec.Handler(t, handler).ServeHTTP(w, q)
	})
	r.page = &api.Page{
		Config: http.ServerConfig{Address: "tcp://127.0.0.1:8321"}, Hosts: []string{"edge.example"}, Files: ui.Files,
		Logins: login.New(filepath.Join(t.TempDir(), "key"), ""),
	}
	r.serveAdmin()
	return r
}

// serveAdmin serves persons, of whom the user of this test is one, until the test ends.
func (r *rig) serveAdmin() {
	dir, err := os.MkdirTemp("", "ba") // the path of a socket has to be short
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.admin = filepath.Join(dir, "admin.sock")
	handler := r.spec.Admin(r.t, api.NewAdmin(r.system, r.system, func(http.Peer) error { return nil }, r.page,
		log.Discard()))
	s := http.NewServer(http.ServerConfig{Address: "unix://" + r.admin}, handler)
	require.NoError(r.t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	r.t.Cleanup(func() { cancel(); require.NoError(r.t, <-done) })
}

// asPerson is expect over the socket for persons.
func (r *rig) asPerson(status int, code, part, method, path, body string) {
	r.t.Helper()
	q, err := nethttp.NewRequestWithContext(r.t.Context(), method, "http://x"+path, strings.NewReader(body))
	require.NoError(r.t, err)
	transport := &nethttp.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.admin)
	}}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(q)
	require.NoError(r.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(r.t, err)
	var e masterapi.Error
	if answer.StatusCode >= 300 {
		require.NoError(r.t, json.Unmarshal(text, &e), string(text))
	}
	require.Equal(r.t, fmt.Sprint(status, " ", code), fmt.Sprint(answer.StatusCode, " ", e.Code), string(text))
	require.Contains(r.t, string(text), part)
}

func (r *rig) run(s app.Service) {
	s.Image = cmp.Or(s.Image, "i")
	require.NoError(r.t, r.system.Start(r.t.Context(), engine.Service{Service: s}))
	r.tokens[s.Name] = r.fake.Env(s.Name)[masterapi.EnvServiceToken]
}

// do calls as the service caller and returns status, code and body.
func (r *rig) do(caller, method, path, body string) (status int, code, text string) {
	r.t.Helper()
	q := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	q.Header.Set(masterapi.HeaderUsername, caller)
	q.Header.Set(masterapi.HeaderPassword, r.tokens[caller])
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	var e masterapi.Error
	if w.Code >= 300 {
		require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &e), w.Body.String())
	}
	return w.Code, e.Code, w.Body.String()
}

// expect calls and compares the status, the code ("" for success), and a part of the body.
func (r *rig) expect(status int, code, part, caller, method, path, body string) {
	r.t.Helper()
	gotStatus, gotCode, text := r.do(caller, method, path, body)
	require.Equal(r.t, fmt.Sprint(status, " ", code), fmt.Sprint(gotStatus, " ", gotCode), text)
	require.Contains(r.t, text, part)
}

// The table that the server serves and that clients call is the one in the document.
func TestEveryRouteIsDocumented(t *testing.T) {
	routes := map[string]apitest.Operation{}
	for _, r := range masterapi.Routes {
		path := strings.ReplaceAll(r.Path, "...}", "}")
		routes[r.Name] = apitest.Operation{Method: r.Method, Path: path, Right: r.Right, Admin: r.Admin}
	}
	require.Equal(t, routes, apitest.Load(t).Operations())
}

// Each documented operation is there, with the version and without, for callers with the right and no others.
func TestEveryDocumentedRouteExists(t *testing.T) {
	r := newRig(t)
	for name, o := range r.spec.Operations() {
		service, instance, body := "all", "all", `{"path":"var/db/baetyl/x"}`
		switch name {
		case masterapi.RouteStart.Name, masterapi.RouteStop.Name:
			service, instance, body = "f", "f.y", "{}"
		case masterapi.RouteServiceStop.Name, masterapi.RouteServiceRestart.Name: // nobody else needs it
			service = "socket"
		}
		names := []string{"{service}", service, "{instance}", instance, "{number}", "1", "{path}", "v1"}
		p := strings.NewReplacer(names...).Replace(o.Path)
		for _, p := range []string{p, strings.TrimPrefix(p, "/"+masterapi.Version)} {
			if name == masterapi.RouteExec.Name {
				r.asPerson(426, "upgrade_required", "Upgrade: baetyl-exec/1", o.Method, p, "")
			} else {
				r.asPerson(200, "", "", o.Method, p, body)
			}
			r.expect(401, "unauthorized", "account unauthorized", "nobody", o.Method, p, "{}")
			r.expect(405, "method_not_allowed", o.Method, "all", nethttp.MethodDelete, p, "{}")
			if o.Admin {
				r.expect(403, "forbidden", "that is for persons, at var/run/baetyl/admin.sock", "all", o.Method, p, "{}")
				continue
			}
			status, code, text := r.do("all", o.Method, p, body)
			require.Equal(t, 200, status, "%s %s: %s %s", name, p, code, text)
			line := app.Line(app.With(nil, o.Right, service))
			r.expect(403, "forbidden", `write `+line+` at service none in application.yml`, "none", o.Method, p, "{}")
		}
	}
	r.expect(404, "not_found", "404 page not found: GET /v1/nothing", "all", nethttp.MethodGet, "/v1/nothing", "")
	r.expect(404, "not_found", "404 page not found: PUT /v2", "all", nethttp.MethodPut, "/v2"+masterapi.PathUpdate, "")
}

// A service gets the socket of an instance that it will start. A person starts none that is called: a port, as ever.
func TestAddressOfAnInstance(t *testing.T) {
	r := newRig(t)
	path := masterapi.PathAddress("socket", "socket.1")
	r.expect(200, "", `{"address":"unix:/run/socket.1"}`, "all", nethttp.MethodGet, path, "")
	r.asPerson(200, "", `{"port":"4711"}`, nethttp.MethodGet, path, "")
}

// Each documented answer is one that the handler gives, and it looks as documented.
func TestEveryDocumentedAnswerIsGiven(t *testing.T) {
	r := newRig(t)
	failed, busy := errors.New("disk full"), fmt.Errorf("update: %w", masterapi.ErrBusy)
	refused := fmt.Errorf("%w: path: no such file", masterapi.ErrRefused)
	limit := fmt.Errorf("%w: 200 instances", service.ErrLimit)
	stopping := fmt.Errorf("service (f) %w", service.ErrStopped)
	path := masterapi.PathInstance
	inspect, update, ports := masterapi.PathInspect, masterapi.PathUpdate, masterapi.PathPortAvailable
	start, report := path("f", "f.x.3", masterapi.ActionStart), path("all", "all", masterapi.ActionReport)
	startAs := func(name string) string { return path("f", name, masterapi.ActionStart) }
	large := `{"k":"` + strings.Repeat("x", http.MaxBody) + `"}`
	long := `{"path":"x","trace":"` + strings.Repeat("x", 5000) + `"}`
	const get, put = nethttp.MethodGet, nethttp.MethodPut
	for _, c := range []struct {
		fails        error
		status       int
		code, part   string
		method, path string
		body         string
	}{
		{nil, 200, "", `"gpu_stats"`, get, inspect, ""},
		{nil, 200, "", `{"port":"4711"}`, get, ports, ""},
		{failed, 500, "failed", "disk full", get, ports, ""},
		{nil, 200, "", `{"port":"4711"}`, get, masterapi.PathAddress("f", "f.x.1"), ""},
		{nil, 200, "", `{"port":"4711"}`, get, masterapi.PathAddress("ghost", "../x"), ""},

		{nil, 200, "", "", put, update, `{"type":"MST","path":"x","trace":"t","sha256":""}`},
		{nil, 200, "", "", put, update, `{"file":"x","later":1}`},
		{nil, 400, "bad_request", "unexpected end of JSON input", put, update, ""},
		{nil, 400, "bad_request", "cannot unmarshal array", put, update, "[]"},
		{nil, 400, "bad_request", "trace: has 5000 bytes; use up to 4096", put, update, long},
		{busy, 409, "busy", "try again later", put, update, `{"path":"x"}`},
		{nil, 413, "too_large", "1048576", put, update, large},
		{refused, 422, "refused", "no such file", put, update, `{"path":"x"}`},
		{failed, 500, "failed", "disk full", put, update, `{"path":"x"}`},

		{nil, 200, "", "", put, startAs("f.x.1"), `{"BAETYL_K":"V","OPENEDGE_EMPTY":"","BAETYL_NULL":null}`},
		{nil, 200, "", "", put, startAs("f.x.2"), `null`},
		{nil, 400, "bad_request", "environment variable", put, start, `{"BAETYL_A\nLD_PRELOAD":"1"}`},
		{nil, 400, "bad_request", "cannot unmarshal number", put, start, `{"K":1}`},
		{nil, 400, "bad_request", "environment variable", put, start, `{"A=B":"1"}`},
		{nil, 400, "bad_request", "environment variable", put, start, `{"BAETYL_A":"\u0000"}`},
		{nil, 400, "bad_request", "environment variable", put, start, `{"":"1"}`},
		{nil, 400, "bad_request", "name of instance", put, startAs("../x"), `{}`},
		{nil, 400, "bad_request", "name of instance", put, startAs(strings.Repeat("x", 129)), `{}`},
		{nil, 403, "forbidden", "write accept_env: [LD_PRELOAD] at service f in", put, start, `{"LD_PRELOAD":"/x.so"}`},
		{nil, 403, "forbidden", "service (all) may not start instances of service (all)", put,
			path("all", "all.x", masterapi.ActionStart), `{}`},
		{nil, 404, "not_found", "service (ghost) not found", put, path("ghost", "x", masterapi.ActionStart), `{}`},
		{stopping, 409, "conflict", "is being stopped", put, start, `{}`},
		{nil, 413, "too_large", "1048576", put, start, large},
		{limit, 422, "limit_reached", "200 instances", put, start, `{}`},
		{failed, 500, "failed", "disk full", put, start, `{}`},

		{nil, 200, "", "", put, path("f", "f.x.1", masterapi.ActionStop), ""},
		{nil, 200, "", "", put, path("f", "../x", masterapi.ActionStop), ""},
		{nil, 404, "not_found", "service (ghost) not found", put, path("ghost", "a/b%", masterapi.ActionStop), ""},
		{nil, 500, "failed", "killed", put, path("f", "f.x.2", masterapi.ActionStop) + "?kill=true", ""},
		{nil, 200, "", "", put, path("f", "f.x.2", masterapi.ActionStop) + "?kill=false", ""},
		{nil, 400, "bad_request", "kill: is 1; use true or false", put, path("f", "f.x.2", masterapi.ActionStop) + "?kill=1", ""},
		{failed, 500, "failed", "disk full", put, path("f", "f.x.1", masterapi.ActionStop), ""},

		{nil, 200, "", "", put, report, `{"stats":{"n":1},"text":"x","nothing":null}`},
		{nil, 200, "", `"stats":{"n":1}`, get, inspect, ""},
		{nil, 400, "bad_request", "nests more than 50 levels", put, report, deep(51)},
		{nil, 400, "bad_request", "not UTF-8", put, report, "{\"a\":\"\xff\"}"},
		{nil, 400, "bad_request", "appears twice", put, report, `{"a":1,"a":2}`},
		{nil, 400, "bad_request", "invalid character 'N'", put, report, `{"a":NaN}`},
		{nil, 400, "bad_request", "invalid character", put, report, "{\"a\":\"\x01\"}"},
		{nil, 400, "bad_request", "expected a JSON object", put, report, `null`},
		{nil, 400, "bad_request", `key \"Status\" is the master's`, put, report, `{"Status":"x"}`},
		{nil, 403, "forbidden", "may not report for service (f)", put, path("f", "f.x.2", masterapi.ActionReport), `{}`},
		{nil, 404, "not_found", "instance (ghost)", put, path("all", "ghost", masterapi.ActionReport), `{}`},
		{nil, 413, "too_large", "1048576", put, report, large},
		{nil, 422, "limit_reached", "100 keys", put, report, keys(101)},
		{failed, 500, "failed", "disk full", put, report, `{}`},
	} {
		r.system.set(c.fails, false)
		r.expect(c.status, c.code, c.part, "all", c.method, c.path, c.body)
	}
	for _, c := range []struct {
		fails      error
		status     int
		code, part string
		path       string
	}{
		{nil, 200, "", "", masterapi.PathRestart},
		{busy, 409, "busy", "try again later", masterapi.PathRestart},
		{refused, 422, "refused", "no such file", masterapi.PathRestart},
		{failed, 500, "failed", "disk full", masterapi.PathRestart},
		{nil, 200, "", "", masterapi.PathStop},
		{failed, 500, "failed", "disk full", masterapi.PathStop},
		{nil, 200, "", `{"effective":["grace"]}`, masterapi.PathReload},
		{refused, 422, "refused", "no such file", masterapi.PathReload},
		{failed, 500, "failed", "disk full", masterapi.PathReload},
	} {
		r.system.set(c.fails, false)
		r.asPerson(c.status, c.code, c.part, nethttp.MethodPost, c.path, "")
	}
	r.system.set(nil, false)
	r.views()
	prune := func(status int, code, part, body string) {
		r.expect(status, code, part, "all", nethttp.MethodPost, masterapi.PathPrune, body)
	}
	prune(200, "", `"removed":[{"kind":"network","name":"old","id":"n1"}]`, `{"volumes":true}`)
	prune(200, "", `"dry_run":true`, `{"dry_run":true}`)
	prune(400, "bad_request", "", `{`)
	prune(413, "too_large", "", large)
	r.expect(403, "forbidden", `may not remove what nobody uses: write api: [update]`, "none", nethttp.MethodPost,
		masterapi.PathPrune, `{}`)
	r.asPerson(200, "", `"removed"`, nethttp.MethodPost, masterapi.PathPrune, `{}`)
	r.asPerson(200, "", `{"name":"all","health":"none"}`, get, masterapi.PathHealth, "")
	for _, path := range []string{masterapi.PathBackup, masterapi.PathSupportBundle} {
		r.asPerson(200, "", "an archive", nethttp.MethodPost, path, "{}")
		r.system.set(masterapi.ErrCollecting, false)
		r.asPerson(409, "busy", "is being made", nethttp.MethodPost, path, "{}")
		r.system.set(failed, false)
		r.asPerson(500, "failed", "disk full", nethttp.MethodPost, path, "{}")
		r.system.set(nil, false)
		r.occupyStreams(path, func() {
			r.asPerson(429, "too_many", "a caller may have 16", nethttp.MethodPost, path, "{}")
		})
	}
	r.asPerson(400, "bad_request", "", nethttp.MethodPost, masterapi.PathBackup, "{")
	r.asPerson(413, "too_large", "", nethttp.MethodPost, masterapi.PathBackup, large)
	r.asPerson(200, "", `"id":"disk"`, get, masterapi.PathDoctor+"?network=true", "")
	r.system.set(nil, true)
	r.asPerson(500, "internal", "internal error", get, masterapi.PathDoctor, "")
	r.asPerson(500, "internal", "internal error", get, masterapi.PathHealth, "")
	prune(500, "internal", "internal error", `{}`)
	r.expect(500, "internal", "internal error", "all", get, inspect, "")
	r.asPerson(500, "internal", "internal error", nethttp.MethodPost, masterapi.PathReload, "")
	r.system.set(nil, false)
	r.askModules()
	r.asPerson(200, "", `"url":"http://127.0.0.1:8321/#login=`, nethttp.MethodPost, masterapi.PathLinks, "")
	here := *r.page
	*r.page = api.Page{}
	r.asPerson(404, "not_found", "there is no page: write", nethttp.MethodPost, masterapi.PathLinks, "")
	*r.page = here
	r.execAnswers()
	r.expectChanges()
	release := r.occupy("all")
	for _, route := range masterapi.Routes {
		names := []string{"{service}", "all", "{instance}", "all", "{number}", "1", "{path...}", "v1"}
		p := strings.NewReplacer(names...).Replace(route.Path)
		r.expect(401, "unauthorized", "account unauthorized", "nobody", route.Method, p, "{}")
		r.expect(403, "forbidden", "may not", "none", route.Method, p, "{}")
		if !route.Admin {
			r.expect(429, "too_many", "64 requests of service (all) are running", "all", route.Method, p, "{}")
		}
	}
	release()
	r.expect(200, "", `{"port":"4711"}`, "all", get, ports, "")
	require.Empty(t, r.spec.Unseen(), "documented, but given to no request of this test")
}

// occupyStreams calls f while a person has as many streams open as may be.
func (r *rig) occupyStreams(path string, f func()) {
	hold := make(chan struct{})
	r.system.mu.Lock()
	r.system.hold, r.system.waiting = hold, 0
	r.system.mu.Unlock()
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() { r.asPerson(200, "", "", nethttp.MethodPost, path, "{}") })
	}
	require.Eventually(r.t, func() bool {
		r.system.mu.Lock()
		defer r.system.mu.Unlock()
		return r.system.waiting == 16
	}, time.Minute, time.Millisecond)
	f()
	r.system.mu.Lock()
	r.system.hold = nil
	r.system.mu.Unlock()
	close(hold)
	calls.Wait()
}

// views asks for what persons look at.
func (r *rig) views() {
	const get = nethttp.MethodGet
	list, events, read := masterapi.PathServices, masterapi.PathEvents, masterapi.PathLogs
	r.run(app.Service{Name: "secret", Replica: 1, Env: map[string]string{"DB_PASSWORD": "hunter22", "MODE": "fast"}})
	for _, c := range []struct {
		status     int
		code, part string
		path       string
	}{
		{200, "", `{"name":"f","state":"idle","image":"i","replica":0}`, list},
		{200, "", `"state":"running"`, list + "?measured=true"},
		{400, "bad_request", "measured: is 1; use true or false", list + "?measured=1"},
		{200, "", `"DB_PASSWORD":"***","MODE":"fast"`, masterapi.PathService("secret")},
		{404, "not_found", "service (a/b) not found", masterapi.PathService("a/b")},
		{200, "", `"text":"tail 10 [all none]"`, read + "?service=all&service=none&tail=10&since=2026-11-30T01:02:03Z"},
		{200, "", `"text":"tail -1 []"`, read + "?follow=false"},
		{400, "bad_request", "since: is 1h; use a time as", read + "?since=1h"},
		{400, "bad_request", "until: is yesterday; use", read + "?until=yesterday"},
		{400, "bad_request", "tail: is -1; use a number from 0 to 1000000", read + "?tail=-1"},
		{400, "bad_request", "service: is 201 names; use up to 200", read + "?" + strings.Repeat("service=x&", 201)},
		{404, "not_found", "service (ghost) not found", read + "?service=ghost"},
		{200, "", `{"number":2,`, events + "?since=2"},
		{200, "", `"kind":"instance.started"`, events},
		{400, "bad_request", "since: is x", events + "?since=x"},
		{400, "bad_request", "follow: is yes", events + "?follow=yes"},
	} {
		r.asPerson(c.status, c.code, c.part, get, c.path, "")
	}
	r.system.set(errors.New("disk full"), false)
	r.asPerson(500, "failed", "disk full", get, masterapi.PathService("all"), "")
	r.asPerson(500, "failed", "disk full", get, read, "")
	r.system.set(nil, true)
	for _, path := range []string{list, events} {
		r.asPerson(500, "internal", "internal error", get, path, "")
	}
	r.system.set(nil, false)
	r.occupyStreams(masterapi.PathBackup, func() {
		for _, path := range []string{events, read} {
			r.asPerson(429, "too_many", "a caller may have 16, all together 64", get, path, "")
		}
	})
}

// occupy makes as many requests of a service as may run at a time; they run until release is called.
func (r *rig) occupy(service string) (release func()) {
	hold := make(chan struct{})
	r.system.mu.Lock()
	r.system.hold, r.system.waiting = hold, 0
	r.system.mu.Unlock()
	var calls sync.WaitGroup
	for range 64 {
		calls.Go(func() { r.do(service, nethttp.MethodGet, masterapi.PathPortAvailable, "") })
	}
	require.Eventually(r.t, func() bool {
		r.system.mu.Lock()
		defer r.system.mu.Unlock()
		return r.system.waiting == 64
	}, time.Minute, time.Millisecond)
	return func() {
		r.system.mu.Lock()
		r.system.hold = nil
		r.system.mu.Unlock()
		close(hold)
		calls.Wait()
	}
}

// No report keeps others from reading inspect: the answer stays JSON that every reader can decode.
func TestInspectOutlivesEveryReport(t *testing.T) {
	r := newRig(t)
	for n, body := range []string{
		deep(50), deep(51), deep(9990), deep(20000), keys(100), keys(20000),
		"{\"a\":\"\xff\"}", `{"a":"\ud83d"}`, `{"\u0000":"\u0000"}`, `{"a":"<\u2028>"}`, "\ufeff{}",
		`{"a":1e400}`, `{"a":-1e308}`, `{"a":` + strings.Repeat("9", 400) + `}`, `{"a":+1}`, `{"a":Infinity}`, `{"a":.5}`,
		`{"a":{"b":1,"b":2}}`, `{"":{}}`,
		`{"services":null,"Name":1}`, `{"reported":{}}`,
	} {
		r.do("all", nethttp.MethodPut, masterapi.PathInstance("all", "all", masterapi.ActionReport), body)
		status, _, text := r.do("all", nethttp.MethodGet, masterapi.PathInspect, "")
		require.Equal(t, 200, status, "report %d: %s", n, text)
		require.True(t, utf8.ValidString(text), "report %d", n)
		var anything any
		require.NoError(t, json.Unmarshal([]byte(text), &anything), "report %d", n)
		var typed masterapi.Inspect
		require.NoError(t, json.Unmarshal([]byte(text), &typed), "report %d", n)
	}
}

// deep is a report of n levels.
func deep(n int) string {
	return `{"deep":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
}

// keys is a report of n keys.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}
