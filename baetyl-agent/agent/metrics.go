package agent

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/report"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
)

// serve adds the metrics server, if it has an address, and the admin interface, where the master reads the same page.
func serve(g *run.Group, cfg config, numbers prometheus.Collector, l log.Logger) {
	page := metrics.Page(numbers)
	if m := cfg.Metrics; m.Address != "" {
		g.Add("metrics", (&metrics.Server{Address: m.Address, Hosts: m.Hosts, Page: page, Log: l}).Run)
	}
	l = l.WithField("api", "admin")
	s := admin.Server(cfg.Admin, admin.Interface{Module: masterapi.ModuleAgent, Metrics: page, Log: l})
	if s != nil {
		g.Add("admin", func(ctx context.Context) error { return admin.Serve(ctx, s, l) })
	}
}

// collector gives Prometheus the numbers of the agent.
type collector struct {
	channel    *mqtt.Dispatcher
	subscriber *subscriber
	reporter   *report.Reporter
	events     *eventstore.Store
}

var (
	connectedDesc = prometheus.NewDesc("baetyl_agent_connected", "1 while the connection for events from the cloud stands.",
		nil, nil)
	reconnectsDesc = prometheus.NewDesc("baetyl_agent_reconnects_total", "Connections to the cloud that have ended.",
		nil, nil)
	eventsDesc = prometheus.NewDesc("baetyl_agent_events_total", "Events from the cloud: taken, or refused since they "+
		"can never be carried out.", []string{"result"}, nil)
	reportsDesc = prometheus.NewDesc("baetyl_agent_reports_total", "Reports to the cloud by whether they have arrived.",
		[]string{"result"}, nil)
	pendingDesc = prometheus.NewDesc("baetyl_agent_updates_pending", "Updates that the cloud has asked for and that have "+
		"not ended.", nil, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	out <- connectedDesc
	out <- reconnectsDesc
	out <- eventsDesc
	out <- reportsDesc
	out <- pendingDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	s := c.channel.Stats()
	connected, pending := 0.0, 0.0
	if s.Connected {
		connected = 1
	}
	for _, j := range c.events.Jobs() {
		if !j.Done() {
			pending++
		}
	}
	gauge(connectedDesc, connected)
	gauge(pendingDesc, pending)
	count(reconnectsDesc, s.Reconnects)
	count(eventsDesc, c.subscriber.taken.Load(), "taken")
	count(eventsDesc, c.subscriber.refused.Load(), "refused")
	arrived, lost := c.reporter.Sent()
	count(reportsDesc, arrived, "arrived")
	count(reportsDesc, lost, "lost")
}
