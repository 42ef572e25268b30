package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// Limits of what is taken from modules: a scrape of Prometheus lasts 10 seconds at most, by default.
const (
	moduleTimeout = 2 * time.Second // for each, all together
	maxPage       = 1 << 20         // bytes of a module's page
	maxSeries     = 2000            // of one instance
	maxAllSeries  = 20_000          // of all
)

// opening is how long a module may take from its start until it has its socket.
const opening = time.Minute

// place is an instance.
type place struct{ service, instance string }

// answer is what a module has answered.
type answer struct {
	at       place
	families []*dto.MetricFamily
	err      error
	took     time.Duration
	settled  bool // it has run for longer than a module takes to open its socket
	series   int  // taken
	dropped  int  // not taken
}

// errNoNumbers means that an instance is no module with numbers: it has no socket, or one of an older version.
var errNoNumbers = errors.New("no numbers")

// ask asks all replicas side by side. One that is no module is left out; one that was a module and is being started anew
// has not answered. g.mu is held.
func (g *gatherer) ask(all []service.Numbers) []answer {
	ctx, cancel := context.WithTimeout(context.Background(), moduleTimeout)
	defer cancel()
	var out []answer
	for _, s := range all {
		if s.Stopped != nil {
			continue
		}
		for _, i := range replicas(s) {
			settled := i.Status == masterapi.StatusRunning && i.StartTime != nil && time.Since(*i.StartTime) > opening
			out = append(out, answer{at: place{s.Name, i.Name}, settled: settled})
		}
	}
	var asked sync.WaitGroup
	for n := range out {
		asked.Go(func() {
			a, began := &out[n], time.Now()
			a.families, a.err = g.fetch(ctx, a.at)
			a.took = time.Since(began)
		})
	}
	asked.Wait()
	out = slices.DeleteFunc(out, func(a answer) bool {
		_, known := g.modules[a.at]
		return errors.Is(a.err, errNoNumbers) && (!known || a.settled)
	})
	known := make(map[place]bool, len(out))
	for _, a := range out {
		known[a.at] = a.err == nil
		if before, seen := g.modules[a.at]; before != known[a.at] || !seen {
			g.tell(a, seen)
		}
	}
	g.modules = known
	return out
}

// tell says in the log that a module answers, or does not, when that has changed.
func (g *gatherer) tell(a answer, seen bool) {
	l := g.log.WithField(log.KeyService, a.at.service).WithField(log.KeyInstance, a.at.instance)
	if a.err != nil {
		l.WithError(a.err).Warnf("the module does not answer with its numbers; they are left out of the metrics until it does")
	} else if seen {
		l.Infof("the module answers with its numbers again")
	}
}

// fetch reads the page of one module.
func (g *gatherer) fetch(ctx context.Context, at place) ([]*dto.MetricFamily, error) {
	q, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, "http://module"+masterapi.PathMetrics, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	q.Header.Set(masterapi.HeaderCaller, "metrics")
	transport := nethttp.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return g.source.DialInstance(ctx, at.service, at.instance)
		},
	}
	r, err := transport.RoundTrip(q)
	switch {
	case errors.Is(err, http.ErrAbsent):
		return nil, fmt.Errorf("%w: %w", errNoNumbers, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it has not answered within %s", moduleTimeout)
	case err != nil:
		return nil, err
	}
	defer r.Body.Close()
	switch r.StatusCode {
	case nethttp.StatusOK:
	case nethttp.StatusNotFound:
		return nil, errNoNumbers
	default:
		return nil, fmt.Errorf("it has answered with status %d", r.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxPage+1))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it has not sent all within %s", moduleTimeout)
	case err != nil:
		return nil, fmt.Errorf("read its answer: %w", err)
	case len(data) > maxPage:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxPage)
	}
	return parse(data)
}

// parse reads a page, and returns its families by name.
func parse(data []byte) ([]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("its answer is no page for Prometheus: %w", err)
	}
	return page(families).sorted(), nil
}

// prefixModule begins the names of numbers about modules, which are the master's.
const prefixModule = "baetyl_module_"

// merge adds what the modules have said, with the labels of each. What has a name of the master's own, or another type
// than the same name has at another module, is dropped.
func (p page) merge(all []answer, own map[string]bool) {
	left := maxAllSeries
	for n := range all {
		a := &all[n]
		limit := min(left, maxSeries)
		for _, f := range a.families {
			to := p[f.GetName()]
			if own[f.GetName()] || strings.HasPrefix(f.GetName(), prefixModule) || to != nil && to.GetType() != f.GetType() {
				for _, m := range f.GetMetric() {
					a.dropped += size(m)
				}
				continue
			}
			seen := map[string]bool{}
			for _, m := range f.GetMetric() {
				key, ok := a.at.label(m)
				size := size(m)
				if !ok || seen[key] || a.series+size > limit {
					a.dropped += size
					continue
				}
				seen[key] = true
				a.series += size
				m.TimestampMs = nil
				p.add(f.GetType(), f.GetName(), f.GetHelp(), m)
			}
		}
		left -= a.series
	}
}

// label gives the labels of an instance to a series, and returns what tells it from others of its family. Labels of
// those names that it has are called exported_…, as Prometheus does. false: two labels have the same name.
func (at place) label(m *dto.Metric) (key string, ok bool) {
	for _, l := range m.Label {
		if name := l.GetName(); name == labelService || name == labelInstance {
			name = "exported_" + name
			l.Name = &name
		}
	}
	m.Label = append(m.Label, pairs([]string{labelService, at.service, labelInstance, at.instance})...)
	slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	var text strings.Builder
	for n, l := range m.Label {
		if n > 0 && l.GetName() == m.Label[n-1].GetName() {
			return "", false
		}
		text.WriteString(l.GetName() + "\x00" + l.GetValue() + "\x00")
	}
	return text.String(), true
}

// size is how many series a metric is for Prometheus.
func size(m *dto.Metric) int {
	switch {
	case m.GetHistogram() != nil:
		return len(m.GetHistogram().GetBucket()) + 3 // +Inf, sum and count
	case m.GetSummary() != nil:
		return len(m.GetSummary().GetQuantile()) + 2
	}
	return 1
}
