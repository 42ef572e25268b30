// Package remote is the bridge as a module: it joins the hub and other MQTT brokers, as etc/baetyl/service.yml says.
//
//	service.yml ─► config ─Plan─► a bridge for each rule ─► deadletter, for what a broker never takes
//
// docs/remote-mqtt.md explains the keys.
package remote

import (
	"cmp"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/bridge"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/deadletter"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/run"
)

// Main is the module: it runs until it is asked to end, or returns why it cannot.
func Main(ctx baetyl.Context) error {
	var cfg config.Config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	bridges, err := build(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", baetyl.ConfigFile, err)
	}
	var g run.Group
	g.Add("rules", run.Together(bridges))
	g.Add("report", baetyl.Report(ctx, cfg.Metrics.Report.Interval, func() map[string]any { return report(bridges) }))
	serve(&g, cfg, collector(bridges), ctx.Log())
	return g.Run(ctx.Done())
}

// build makes the bridge of each rule; nothing runs yet.
func build(ctx baetyl.Context, cfg config.Config) ([]*bridge.Bridge, error) {
	if err := cfg.CheckRemotes(); err != nil {
		return nil, err
	}
	links, err := cfg.Plan(ctx.Config().Hub, cmp.Or(ctx.InstanceName(), ctx.ServiceName()))
	if err != nil {
		return nil, err
	}
	d, err := cfg.DeadLetters()
	if err != nil {
		return nil, err
	}
	letters := deadletter.New(file.OS, d.Path, int64(d.Size))
	var out []*bridge.Bridge
	for i, l := range links {
		b, err := bridge.New(l, letters, d.After, ctx.Log())
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// report is what the report of the system shows of the bridge.
func report(bridges []*bridge.Bridge) map[string]any {
	rules := []any{}
	for _, b := range bridges {
		s := b.Stats()
		rules = append(
			rules,
			map[string]any{"remote": s.Remote, "hub_connection": side(s.Hub), "remote_connection": side(s.Far),
				"hub_to_remote": direction(s.Up), "remote_to_hub": direction(s.Down)},
		)
	}
	return map[string]any{"rule_stats": rules}
}

func side(s bridge.Side) map[string]any {
	out := map[string]any{"connected": !s.Since.IsZero(), "reconnects": s.Reconnects}
	if !s.Since.IsZero() {
		out["since"] = s.Since.UTC().Format(time.RFC3339)
	}
	return out
}

// direction has the dead letters twice: `parked` is the older name.
func direction(d bridge.Direction) map[string]any {
	return map[string]any{
		"received":     d.Received,
		"resent":       d.Resent,
		"forwarded":    d.Forwarded,
		"dead_letters": d.DeadLetters,
		"parked":       d.DeadLetters,
		"known":        d.Known,
		"unwanted":     d.Unwanted,
		"dropped":      d.Dropped,
		"queue":        d.Queue,
	}
}
