package manager

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
)

// measure adds the report to the master and, if it has an address, the metrics server.
func (m *manager) measure(ctx baetyl.Context, g *run.Group, cfg config.Metrics) {
	g.Add("report", baetyl.Report(ctx, cfg.Report.Interval, m.report))
	if cfg.Address != "" {
		g.Add("metrics", (&metrics.Server{Address: cfg.Address, Hosts: cfg.Hosts, Page: m.page, Log: ctx.Log()}).Run)
	}
}

// report is what the master's inspect shows of the manager.
func (m *manager) report() map[string]any {
	functions, rules := map[string]any{}, []any{}
	for _, f := range m.functions {
		s := f.Stats()
		functions[f.Config().Name] = map[string]any{
			"waiting":       s.Waiting,
			"instances":     s.Instances,
			"cold_starts":   s.ColdStarts,
			"failed_starts": s.Failed,
			"calls":         s.Calls,
			"call_seconds":  s.Busy.Seconds(),
		}
	}
	for _, r := range m.rules {
		s := r.Stats()
		rules = append(rules, map[string]any{
			"connected": s.Connected,
			"received":  s.Received,
			"results":   s.Results,
			"empty":     s.Empty,
			"errors":    s.Errors,
			"retries":   s.Retries,
			"refused":   s.Refused,
			"dropped":   s.Dropped,
			"held":      s.Held,
			"underway":  s.InFlight,
		})
	}
	return map[string]any{"function_stats": functions, "rule_stats": rules, "waiting_bytes": m.budget.Used()}
}

var (
	functionLabels = []string{"function"}
	ruleLabels     = []string{"rule", "function"}

	waitingDesc   = describe("baetyl_function_waiting", "Calls that wait for an instance.", functionLabels)
	instancesDesc = describe("baetyl_function_instances", "Instances by state.", functionLabels, "state")
	startsDesc    = describe("baetyl_function_cold_starts_total", "Instances started.", functionLabels)
	failedDesc    = describe("baetyl_function_failed_starts_total", "Starts that failed.", functionLabels)
	callsDesc     = describe("baetyl_function_calls_total", "Calls by result.", functionLabels, "result")
	secondsDesc   = describe("baetyl_function_call_seconds_total", "Time that calls took.", functionLabels)
	messagesDesc  = describe("baetyl_rule_messages_total", "Messages by what became of them.", ruleLabels, "kind")
	budgetDesc    = describe("baetyl_function_manager_waiting_bytes", "Bytes of message.waiting.max in use.", nil)
	inFlightDesc  = describe("baetyl_rule_underway", "Messages received and not finished.", ruleLabels)
)

func describe(name, help string, labels []string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, slices.Concat(labels, more), nil)
}

// Describe implements prometheus.Collector.
func (m *manager) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		waitingDesc, instancesDesc, startsDesc, failedDesc, callsDesc, secondsDesc, messagesDesc, inFlightDesc, budgetDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *manager) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(budgetDesc, float64(m.budget.Used()))
	for _, f := range m.functions {
		name, s := f.Config().Name, f.Stats()
		gauge(waitingDesc, float64(s.Waiting), name)
		for state, n := range s.Instances {
			gauge(instancesDesc, float64(n), name, state)
		}
		counter(startsDesc, float64(s.ColdStarts), name)
		counter(failedDesc, float64(s.Failed), name)
		for result, n := range s.Calls {
			counter(callsDesc, float64(n), name, result)
		}
		counter(secondsDesc, s.Busy.Seconds(), name)
	}
	for i, r := range m.rules {
		at, name, s := strconv.Itoa(i), r.Function(), r.Stats()
		for kind, n := range map[string]uint64{
			"received": s.Received,
			"result":   s.Results,
			"empty":    s.Empty,
			"error":    s.Errors,
			"retry":    s.Retries,
			"refused":  s.Refused,
			"dropped":  s.Dropped,
			"held":     s.Held,
		} {
			counter(messagesDesc, float64(n), at, name, kind)
		}
		gauge(inFlightDesc, float64(s.InFlight), at, name)
	}
}
