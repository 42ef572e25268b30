package hub

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/run"
	"github.com/baetyl/baetyl/utils/topic"
)

// collector gives Prometheus the hub's statistics when it asks for them.
type collector struct{ h *Hub }

// Describe implements prometheus.Collector. It describes nothing: this is an unchecked collector.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, x := range c.h.Stats() {
		kind := prometheus.GaugeValue
		name := "baetyl_hub_" + x.Name
		if x.Counter {
			kind, name = prometheus.CounterValue, name+"_total"
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, x.Help, nil, nil), kind, float64(x.Value))
	}
	for _, x := range c.h.Usage() {
		labels := []string{x.Principal, x.Resource.String()}
		out <- prometheus.MustNewConstMetric(usedDesc, prometheus.GaugeValue, float64(x.Used), labels...)
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(x.Refused), labels...)
		if x.Limit > 0 {
			out <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(x.Limit), labels...)
		}
	}
	t := c.h.store.SyncTimes()
	buckets := make(map[float64]uint64, len(t.Below))
	for limit, n := range t.Below {
		buckets[limit.Seconds()] = n
	}
	out <- prometheus.MustNewConstHistogram(prometheus.NewDesc("baetyl_hub_store_sync_seconds",
		"time that the disk took for an fsync of the log", nil, nil), t.Count, t.Sum.Seconds(), buckets)
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("baetyl_hub_store_sync_longest_seconds",
		"the longest of them since the start", nil, nil), prometheus.GaugeValue, t.Longest.Seconds())
}

// The budget: principal is a name of the configuration, or one that had something stored when the hub was started;
// empty for the hub.
var (
	usageLabels = []string{"principal", "resource"}
	usedDesc    = prometheus.NewDesc("baetyl_hub_budget_used", "what a principal has of a resource", usageLabels, nil)
	limitDesc   = prometheus.NewDesc("baetyl_hub_budget_limit", "what it may have (limits)", usageLabels, nil)
	refusedDesc = prometheus.NewDesc("baetyl_hub_budget_refused_total", "what it did not get, over the limit of the "+
		"principal, the hub or one client", usageLabels, nil)
)

// ready returns an error if messages can't be stored.
func (h *Hub) ready() error {
	if !h.store.Writable() {
		return errors.New("messages can't be stored")
	}
	return nil
}

// announce publishes the statistics below $SYS/broker/ every `sys.interval`.
func (h *Hub) announce(ctx context.Context) error {
	h.announceOnce()
	return run.Every(ctx, h.cfg.Sys.Interval, h.announceOnce)
}

func (h *Hub) announceOnce() {
	for _, x := range h.Stats() {
		if x.Sys != "" {
			value := []byte(strconv.FormatInt(x.Value, 10))
			h.server.Do(func(k *core.Core) { k.Announce(topic.SysPrefix+"broker/"+x.Sys, value) })
		}
	}
}
