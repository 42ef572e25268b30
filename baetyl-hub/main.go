// Command baetyl-hub is the MQTT broker of Baetyl. It reads etc/baetyl/service.yml; docs/hub.md explains its keys.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/run"
)

func main() {
	baetyl.Run(func(ctx baetyl.Context) error {
		var cfg config.Config
		if err := ctx.LoadConfig(&cfg); err != nil {
			return err
		}
		h, err := hub.Open(cfg, ctx.Log())
		if err != nil { // an address, a certificate or a folder that the file names cannot be used
			return fmt.Errorf("%s: %w", baetyl.ConfigFile, err)
		}
		var g run.Group
		g.Add("hub", h.Run)
		g.Add("report", func(stop context.Context) error {
			report(stop, ctx, h, cfg.Metrics.Report.Interval)
			return nil
		})
		g.Add("signal", func(stop context.Context) error {
			select {
			case <-ctx.WaitChan():
			case <-stop.Done():
			}
			return nil
		})
		return g.Run(context.Background())
	})
}

// report tells the master how the hub is doing. A report that fails is told to the log; the hub runs without a master as well.
func report(stop context.Context, ctx baetyl.Context, h *hub.Hub, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-stop.Done():
			return
		case <-t.C:
			if err := ctx.ReportInstance(map[string]any{"broker_stats": h.Stats()}); err != nil {
				ctx.Log().WithError(err).Debugf("report to master")
			}
		}
	}
}
