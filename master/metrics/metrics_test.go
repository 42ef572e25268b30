package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/master/metrics"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/update"
	baetylhttp "github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/log"
)

// bench is a server of a device whose modules are handlers at real sockets.
type bench struct {
	t    *testing.T
	dir  string
	base string // of the pages
	said *lines

	mu     sync.Mutex // guards what follows
	device metrics.Device
	ready  error
	dead   chan struct{} // of the disk: not nil, it hangs until this is closed
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // t.TempDir is longer than a socket may be
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &bench{t: t, dir: dir, said: &lines{}}
	b.device = metrics.Device{
		Version: "1", Revision: "r", Mode: "native", Application: "v1", AsWanted: true,
		Results: map[update.Result]uint64{{Type: masterapi.UpdateApp, Step: masterapi.StepRolledBack}: 2},
		Update: masterapi.UpdateState{Type: masterapi.UpdateApp, Result: masterapi.StepUpdated, Steps: []masterapi.UpdateStep{
			{Time: "2026-01-01T00:00:00.5Z"}, {Time: "2026-01-01T00:00:03Z"},
		}},
	}
	return b
}

// runs starts the server, and returns what changes its configuration.
func (b *bench) runs() *metrics.Server {
	b.t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(b.t))
	b.base = "http://" + address
	s := metrics.New(b, metrics.Config{Address: address}, log.NewTo(b.said, log.Config{}))
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.t.Cleanup(func() { cancel(); require.NoError(b.t, <-ended) })
	b.answers()
	return s
}

func (b *bench) answers() {
	b.t.Helper()
	mqtttest.Until(b.t, b.base+" answers", func() bool {
		r, err := http.Get(b.base + "/healthz")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
}

func (b *bench) get(path string) (int, string) {
	b.t.Helper()
	r, err := http.Get(b.base + path)
	require.NoError(b.t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(b.t, err)
	return r.StatusCode, string(data)
}

// page is the page, as Prometheus reads it.
func (b *bench) page() pageOf {
	b.t.Helper()
	status, text := b.get("/metrics")
	require.Equal(b.t, http.StatusOK, status, text)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(b.t, err)
	return pageOf{b.t, families}
}

// lint fails the test for what promtool check metrics would say of the page.
func (b *bench) lint() {
	b.t.Helper()
	_, text := b.get("/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(b.t, err)
	require.Empty(b.t, problems)
}

type pageOf struct {
	t        *testing.T
	families map[string]*dto.MetricFamily
}

// all are the values of a family by labels, as name=value in their order.
func (p pageOf) all(name string) map[string]float64 {
	p.t.Helper()
	out := map[string]float64{}
	for _, m := range p.families[name].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		key := strings.Join(labels, " ")
		if _, twice := out[key]; twice {
			p.t.Errorf("%s stands twice: %s", name, key)
		}
		out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	}
	return out
}

// service adds a service with one replica that runs since a time.
func (b *bench) service(name string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.device.Services = append(b.device.Services, service.Numbers{
		Health: masterapi.HealthNone, Fine: true, Replicas: []string{name}, ServiceStatus: masterapi.ServiceStatus{
			State: masterapi.StatusRunning, Replica: 1, Service: masterapi.Service{Name: name, Instances: []masterapi.Instance{
				{Name: name, Status: masterapi.StatusRunning, StartTime: &since},
			}},
		},
	})
}

// module adds a service that is a module, and returns what ends it.
func (b *bench) module(name string, h http.HandlerFunc) (end func()) {
	b.t.Helper()
	b.service(name, time.Now())
	return b.socket(name, h)
}

func (b *bench) socket(name string, h http.HandlerFunc) (end func()) {
	b.t.Helper()
	require.NoError(b.t, os.MkdirAll(filepath.Join(b.dir, name), 0o700))
	l, err := net.Listen("unix", filepath.Join(b.dir, name, masterapi.ServiceAdmin))
	require.NoError(b.t, err)
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	b.t.Cleanup(func() { _ = s.Close() })
	return func() { _ = s.Close() }
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != masterapi.PathMetrics {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	}
}

func (b *bench) Device() metrics.Device {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.device
	d.Services = slices.Clone(d.Services)
	return d
}

func (b *bench) Data() host.FileSystem {
	b.mu.Lock()
	dead := b.dead
	b.mu.Unlock()
	if dead != nil {
		<-dead
	}
	return host.FileSystem{Total: 10, Free: 4, Used: 6}
}

func (b *bench) Certificates(context.Context) []doctor.Certificate {
	return []doctor.Certificate{{Path: "/a.pem", Service: "s", NotAfter: time.Unix(7, 0)}}
}

func (b *bench) Ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}

func (b *bench) DialInstance(ctx context.Context, _, instance string) (net.Conn, error) {
	return baetylhttp.DialPrivate(ctx, filepath.Join(b.dir, instance), masterapi.ServiceAdmin)
}

// What the master knows is on the page.
func TestDevice(t *testing.T) {
	b := newBench(t)
	b.service("plain", time.Unix(1000, 0))
	b.runs()
	p := b.page()
	require.Equal(t, map[string]float64{"": 10}, p.all("baetyl_data_size_bytes"))
	require.Equal(t, map[string]float64{"": 4}, p.all("baetyl_data_free_bytes"))
	require.Equal(t, map[string]float64{"": 6}, p.all("baetyl_data_used_bytes"))
	require.Equal(t, map[string]float64{"path=/a.pem service=s": 7}, p.all("baetyl_certificate_not_after_timestamp_seconds"))
	require.Equal(t, map[string]float64{"type=APP": 2.5}, p.all("baetyl_last_update_duration_seconds"))
	require.Equal(t, map[string]float64{"type=APP": 1}, p.all("baetyl_last_update_success"))
	require.Equal(t, map[string]float64{
		"result=updated type=APP": 0, "result=rolled_back type=APP": 2, "result=failed type=APP": 0,
		"result=updated type=MST": 0, "result=rolled_back type=MST": 0, "result=failed type=MST": 0,
	}, p.all("baetyl_updates_total"))
	require.Equal(t, map[string]float64{"service=plain": 1}, p.all("baetyl_service_up"))
	require.Equal(t, map[string]float64{"service=plain service_instance=plain": 1000}, p.all("baetyl_instance_start_time_seconds"))
	states := p.all("baetyl_service_state")
	require.Equal(t, 1.0, states["service=plain state=running"])
	require.Len(t, states, 9)
	require.Len(t, slices.DeleteFunc(slices.Collect(maps.Values(states)), func(v float64) bool { return v == 0 }), 1)
	require.Empty(t, p.all("baetyl_module_up"), "plain has no socket")
	b.lint()
	require.NotEmpty(t, p.all("go_goroutines"))
	require.Equal(t, map[string]float64{"": 1}, p.all("baetyl_ready"))

	b.mu.Lock()
	b.ready = errors.New("service plain is failed")
	b.device.Update.Running = true
	b.mu.Unlock()
	status, why := b.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "service plain is failed\n", why)
	p = b.page()
	require.Equal(t, map[string]float64{"": 0}, p.all("baetyl_ready"))
	require.Equal(t, map[string]float64{"type=APP": 1, "type=MST": 0}, p.all("baetyl_update_running"))
	require.Empty(t, p.all("baetyl_last_update_success"))
}

// A dead disk costs its own numbers.
func TestDeadDisk(t *testing.T) {
	b := newBench(t)
	b.dead = make(chan struct{})
	defer close(b.dead)
	b.runs()
	p := b.page()
	require.Empty(t, p.all("baetyl_data_size_bytes"))
	require.NotEmpty(t, p.all("baetyl_build_info"))
}

// Modules have their labels, and say nothing in the name of the master.
func TestModules(t *testing.T) {
	b := newBench(t)
	b.module("one", says(`# HELP x_shared A number.
# TYPE x_shared gauge
x_shared{service="mine",a="b"} 1 1700000000000
x_shared{a="c"} 2
x_shared{a="c"} 3
# TYPE baetyl_service_up gauge
baetyl_service_up{service="two"} 0
# TYPE baetyl_module_up gauge
baetyl_module_up 7
# TYPE go_goroutines gauge
go_goroutines 5
# TYPE x_kind counter
x_kind 1
`))
	b.module("two", says("# TYPE x_shared gauge\nx_shared 4\n# TYPE x_kind gauge\nx_kind 1\n"))
	b.module("older", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	b.runs()
	p := b.page()
	const one, two = "service=one service_instance=one", "service=two service_instance=two"
	require.Equal(t, map[string]float64{
		"a=b exported_service=mine " + one: 1, "a=c " + one: 2, two: 4,
	}, p.all("x_shared"))
	require.Equal(t, map[string]float64{"service=one": 1, "service=two": 1, "service=older": 1}, p.all("baetyl_service_up"))
	require.Equal(t, map[string]float64{one: 1, two: 1}, p.all("baetyl_module_up"))
	require.Equal(t, 5.0, p.all("go_goroutines")[one])
	require.Len(t, p.all("go_goroutines"), 2)
	require.Equal(t, map[string]float64{one: 1}, p.all("x_kind"))
	require.Equal(t, map[string]float64{one: 4, two: 1}, p.all("baetyl_module_series"))
	require.Equal(t, map[string]float64{one: 3, two: 1}, p.all("baetyl_module_series_dropped"))
	for _, m := range p.families["x_shared"].GetMetric() {
		require.Nil(t, m.TimestampMs)
	}
}

// What a module sends is bounded, and one that does not answer costs its own numbers.
func TestBadModules(t *testing.T) {
	b := newBench(t)
	var many strings.Builder
	many.WriteString("# TYPE x_many gauge\n")
	for i := range 5000 {
		fmt.Fprintf(&many, "x_many{n=\"%d\"} 1\n", i)
	}
	b.module("many", says(many.String()))
	b.module("huge", says(strings.Repeat("#"+strings.Repeat("x", 100)+"\n", 20_000)))
	b.module("nonsense", says("<html>\n"))
	b.module("failing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	b.module("hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b.module("drips", func(w http.ResponseWriter, r *http.Request) {
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for r.Context().Err() == nil {
			<-every.C
			_, _ = io.WriteString(w, "# x\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	ended := b.module("ended", says("x_ended 1\n"))
	b.runs()
	// on a machine that is busy, others may not answer in time either: then the next page has them
	var p pageOf
	await := func(names ...string) {
		t.Helper()
		mqtttest.Until(t, fmt.Sprintf("%v answer", names), func() bool {
			p = b.page()
			var up []string
			for labels, v := range p.all("baetyl_module_up") {
				if v == 1 {
					up = append(up, strings.TrimPrefix(strings.Fields(labels)[0], "service="))
				}
			}
			slices.Sort(up)
			return slices.Equal(up, names)
		})
	}
	await("ended", "many")
	require.Len(t, p.all("baetyl_module_up"), 7)
	require.Len(t, p.all("x_many"), 2000)
	require.Equal(t, 3000.0, p.all("baetyl_module_series_dropped")["service=many service_instance=many"])

	ended() // and its socket is removed, as the master does before it starts the instance again
	await("many")
	require.Len(t, p.all("baetyl_module_up"), 7)
	require.Equal(t, 1, strings.Count(b.said.String(), "service=hangs"), "once, not at each page: %s", b.said)

	b.mu.Lock() // the socket does not come back: the new version of the module has none
	long := time.Now().Add(-time.Hour)
	for _, s := range b.device.Services {
		if s.Name == "ended" {
			s.Instances[0].StartTime = &long
		}
	}
	b.mu.Unlock()
	require.NotContains(t, b.page().all("baetyl_module_up"), "service=ended service_instance=ended")

	b.socket("ended", says("x_ended 1\n"))
	await("ended", "many")
}

// Counters of a service do not fall when its instances change, and instances that others start make no series.
func TestTotals(t *testing.T) {
	b := newBench(t)
	b.runs()
	for _, step := range []struct {
		instances []masterapi.Instance
		cpu       float64
	}{
		{[]masterapi.Instance{used("f", 1), used("f.1", 2)}, 3},
		{[]masterapi.Instance{used("f", 1), used("f.1", 4)}, 5},
		{[]masterapi.Instance{used("f", 1.5), used("f.2", 1)}, 6.5}, // f.1 has ended
		{[]masterapi.Instance{used("f", 0.5), used("f.2", 1)}, 7},   // f was started anew
		{[]masterapi.Instance{{Name: "f"}, used("f.2", 1)}, 7},      // f was not measured
	} {
		b.mu.Lock()
		b.device.Services = []service.Numbers{{Replicas: []string{"f"}, ServiceStatus: masterapi.ServiceStatus{
			State: masterapi.StatusRunning, Service: masterapi.Service{Name: "f", Instances: step.instances},
		}}}
		b.mu.Unlock()
		p := b.page()
		require.InDelta(t, step.cpu, p.all("baetyl_service_cpu_seconds_total")["service=f"], 1e-9)
		require.Len(t, p.all("baetyl_instance_up"), 1)
	}
}

func used(name string, cpu float64) masterapi.Instance {
	return masterapi.Instance{Name: name, CPU: &host.CPU{Seconds: cpu}, Mem: &host.Mem{Used: 1}}
}
