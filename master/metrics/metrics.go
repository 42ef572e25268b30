// Package metrics is one page for Prometheus of the whole device: what the master knows, its own process, and the pages of
// the modules, which are asked at the admin sockets in their run folders.
//
//	conf.yml ─► Server ─► GET /metrics ─► Source ─────────────────────────────► baetyl_*, go_*, process_* ─┐
//	                                        └ each replica ─► its admin.sock ─► GET /metrics ─► labels ─────┴► one page
//
// It promises that a module which hangs, has ended, or sends nonsense costs its own series alone, and a page of a device
// is there within seconds; that the number of series is bounded, whatever modules and their clients do; and that no
// module says anything in the name of the master. Without an address nothing of it runs.
package metrics

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/metrics"
)

// Source is the master. Its methods are called from any goroutine.
type Source interface {
	// Device returns what is known now, within a second.
	Device() Device
	// Data describes the file system of the data folder, zero where that is not known; a dead disk may hold it up.
	Data() host.FileSystem
	// Certificates are those that configurations name; a dead disk may hold it up.
	Certificates(ctx context.Context) []doctor.Certificate
	// Ready says in one line why the device does not do what it should; nil: it does.
	Ready() error
	// DialInstance connects to the admin socket of an instance. http.ErrAbsent: it has none.
	DialInstance(ctx context.Context, service, instance string) (net.Conn, error)
}

// Device is what the master knows of the device at one moment.
type Device struct {
	Version, Revision, Mode string
	Application             string // its version
	AsWanted                bool   // the application, and its last update
	Services                []service.Numbers
	Update                  masterapi.UpdateState // that runs, or the last one
	Results                 map[update.Result]uint64
}

// gatherer implements prometheus.Gatherer.
type gatherer struct {
	source Source
	slow   slow
	log    log.Logger
	own    prometheus.Gatherer // numbers of this process

	mu      sync.Mutex // one page is made at a time; guards what follows
	totals  totals
	modules map[place]bool // replicas that are known to be modules, and whether they have answered last
}

// newPage returns what answers GET /metrics.
func newPage(from Source, s slow, l log.Logger) http.Handler {
	return metrics.PageOf(&gatherer{
		source: from, slow: s, log: l, own: metrics.Gather(), totals: totals{}, modules: map[place]bool{},
	})
}

// Gather implements prometheus.Gatherer. It never fails: what is not known is left out.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var data host.FileSystem
	var certificates []doctor.Certificate
	var d Device
	var asked sync.WaitGroup // each waits for a measurement
	asked.Go(func() { data = g.slow.data.Get() })
	asked.Go(func() { certificates = g.slow.certificates.Get() })
	asked.Go(func() { d = g.source.Device() })
	asked.Wait()
	answers := g.ask(d.Services)

	p := page{}
	p.device(d)
	p.flag("baetyl_ready", "1 if the application was started and nothing fails, as /readyz says.", g.source.Ready() == nil)
	p.data(data)
	p.certificates(certificates)
	for _, s := range d.Services {
		p.service(s, g.totals)
	}
	g.totals.forget(d.Services)
	own := p.names()
	if families, err := g.own.Gather(); err == nil {
		for _, f := range families {
			p[f.GetName()] = f
		}
	}
	p.merge(answers, own)
	p.modules(answers)
	return p.sorted(), nil
}
