package hub

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/run"
)

// Main is the module baetyl-hub. It reads etc/baetyl/service.yml (docs/hub.md) and serves until ctx is done.
func Main(ctx baetyl.Context) error {
	var cfg config.Config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	h, err := Open(cfg, ctx.Log())
	if err != nil { // an address, a certificate or a folder in the file can't be used
		return fmt.Errorf("%s: %w", baetyl.ConfigFile, err)
	}
	h.LimitMemory()
	ctx.CheckHealth(h.alive)
	var g run.Group
	g.Add("hub", h.Run)
	g.Add("report", baetyl.Report(ctx, cfg.Metrics.Report.Interval, func() map[string]any {
		return map[string]any{"broker_stats": h.Report()}
	}))
	g.Add("reload", func(stop context.Context) error {
		reload(stop, ctx, h)
		return nil
	})
	return g.Run(ctx.Done())
}

// alive waits for the core: one that takes no more events serves nobody.
func (h *Hub) alive(context.Context) error {
	h.server.Stats()
	return nil
}

// reload reads the configuration again at each SIGHUP.
func reload(stop context.Context, ctx baetyl.Context, h *Hub) {
	hup := make(chan os.Signal, 1) // one pending reload is enough: it reads the newest file
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-stop.Done():
			return
		case <-hup:
			var cfg config.Config
			err := ctx.LoadConfigStrict(&cfg)
			if err == nil {
				err = h.Reload(cfg)
			}
			if err != nil {
				ctx.Log().WithError(err).Errorf("configuration not reloaded, keeping the previous one")
			}
		}
	}
}
