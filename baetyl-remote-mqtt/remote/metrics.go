package remote

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/bridge"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
)

// serve adds the metrics server, if it has an address, and the admin interface, where the master reads the same page.
func serve(g *run.Group, cfg config.Config, numbers prometheus.Collector, l log.Logger) {
	page := metrics.Page(numbers)
	if m := cfg.Metrics; m.Address != "" {
		g.Add("metrics", (&metrics.Server{Address: m.Address, Hosts: m.Hosts, Page: page, Log: l}).Run)
	}
	l = l.WithField("api", "admin")
	s := admin.Server(cfg.Admin, admin.Interface{Module: masterapi.ModuleRemoteMQTT, Metrics: page, Log: l})
	if s != nil {
		g.Add("admin", func(ctx context.Context) error { return admin.Serve(ctx, s, l) })
	}
}

// collector gives Prometheus the numbers of all rules. Their labels are those of the configuration, so that no client
// makes more series.
type collector []*bridge.Bridge

var (
	ruleLabels = []string{"rule", "remote"} // index of the rule, as in the configuration, and the name of its remote

	connectedDesc = prometheus.NewDesc("baetyl_remote_connected", "1 while the connection of a rule to the hub, or to "+
		"the remote, stands.", append(ruleLabels, "side"), nil)
	reconnectsDesc = prometheus.NewDesc("baetyl_remote_reconnects_total", "Connections that have ended.",
		append(ruleLabels, "side"), nil)
	messagesDesc = prometheus.NewDesc("baetyl_remote_messages_total", "Messages by what became of them.",
		append(ruleLabels, "direction", "kind"), nil)
	queueDesc = prometheus.NewDesc("baetyl_remote_underway", "Messages received and not finished.",
		append(ruleLabels, "direction"), nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	out <- connectedDesc
	out <- reconnectsDesc
	out <- messagesDesc
	out <- queueDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, b := range c {
		s := b.Stats()
		rule := strconv.Itoa(s.Rule)
		for name, side := range map[string]bridge.Side{"hub": s.Hub, "remote": s.Far} {
			connected := 1.0
			if side.Since.IsZero() {
				connected = 0
			}
			send(connectedDesc, prometheus.GaugeValue, connected, rule, s.Remote, name)
			send(reconnectsDesc, prometheus.CounterValue, float64(side.Reconnects), rule, s.Remote, name)
		}
		for name, d := range map[string]bridge.Direction{"hub_to_remote": s.Up, "remote_to_hub": s.Down} {
			send(queueDesc, prometheus.GaugeValue, float64(d.Queue), rule, s.Remote, name)
			for kind, n := range map[string]uint64{
				"received": d.Received, "resent": d.Resent, "forwarded": d.Forwarded, "dead_letter": d.DeadLetters,
				"known": d.Known, "unwanted": d.Unwanted, "dropped": d.Dropped,
			} {
				send(messagesDesc, prometheus.CounterValue, float64(n), rule, s.Remote, name, kind)
			}
		}
	}
}
