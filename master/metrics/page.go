package metrics

import (
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// page is the families by their names.
type page map[string]*dto.MetricFamily

// gauge adds a value; labels are names and values in turn.
func (p page) gauge(name, help string, v float64, labels ...string) {
	p.add(dto.MetricType_GAUGE, name, help, &dto.Metric{Gauge: &dto.Gauge{Value: &v}, Label: pairs(labels)})
}

// count adds the value of a counter.
func (p page) count(name, help string, v float64, labels ...string) {
	p.add(dto.MetricType_COUNTER, name, help, &dto.Metric{Counter: &dto.Counter{Value: &v}, Label: pairs(labels)})
}

// flag adds 1 for yes.
func (p page) flag(name, help string, yes bool, labels ...string) {
	v := 0.0
	if yes {
		v = 1
	}
	p.gauge(name, help, v, labels...)
}

// oneOf adds a value for each state that there may be: 1 for the one that is.
func (p page) oneOf(name, help, label, is string, states []string, labels ...string) {
	for _, s := range states {
		p.flag(name, help, s == is, append(slices.Clip(labels), label, s)...)
	}
}

// since adds a time, in seconds of Unix time.
func (p page) since(name, help string, at time.Time, labels ...string) {
	p.gauge(name, help, float64(at.UnixMilli())/1000, labels...)
}

func (p page) add(kind dto.MetricType, name, help string, m *dto.Metric) {
	f := p[name]
	if f == nil {
		f = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
		p[name] = f
	}
	f.Metric = append(f.Metric, m)
}

func (p page) names() map[string]bool {
	out := make(map[string]bool, len(p))
	for name := range p {
		out[name] = true
	}
	return out
}

func (p page) sorted() []*dto.MetricFamily {
	out := make([]*dto.MetricFamily, 0, len(p))
	for _, f := range p {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// pairs are labels, sorted by name.
func pairs(labels []string) []*dto.LabelPair {
	out := make([]*dto.LabelPair, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		value := strings.ToValidUTF8(labels[i+1], "\uFFFD")
		out = append(out, &dto.LabelPair{Name: &labels[i], Value: &value})
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}
