// Package agent is the agent as a module: it connects a device with the cloud that manages it.
//
//	cloud ─MQTT─► subscriber ─► eventstore ─► update ─► download, volume ─► master
//	  ▲                             │                                        │
//	  └───────HTTPS─── report ◄─────┴──────────────inspect───────────────────┘
//
// It reads etc/baetyl/service.yml; docs/agent.md explains its keys.
package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/baetyl-agent/download"
	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/report"
	"github.com/baetyl/baetyl/baetyl-agent/update"
	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/run"
)

// Main is the module: it runs until it is asked to end, or returns why it cannot.
func Main(ctx baetyl.Context) error {
	var cfg config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	device, err := readIdentity(cfg.Remote.MQTT.Cert, cfg.Remote.MQTT.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", baetyl.ConfigFile, err)
	}
	server, err := http.NewClient(cfg.Remote.HTTP)
	if err != nil {
		return fmt.Errorf("%s: remote.http: %w", baetyl.ConfigFile, err)
	}
	packages, err := download.NewClient(cfg.Remote.HTTP.Config)
	if err != nil {
		return fmt.Errorf("%s: remote.http: %w", baetyl.ConfigFile, err)
	}
	if cfg.Remote.HTTP.Insecure {
		ctx.Log().Warnf("remote.http.insecure: the certificates of the cloud and of packages' servers are not verified, " +
			"so that anybody can stand in their place")
	}
	master, err := ctx.Master()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dataDir); err != nil {
		return fmt.Errorf("%w; mount a volume with the path %s there", err, cloud.Root)
	}
	private := filepath.Join(dataDir, volume.Private)
	events, err := eventstore.Open(ctx.Done(), eventstore.Config{Dir: private, Log: ctx.Log()})
	if ctx.Done().Err() != nil { // asked to end while another agent held the lock
		return nil
	}
	if err != nil {
		return fmt.Errorf("open record of updates: %w", err)
	}
	defer events.Close()
	subscriber := &subscriber{ctx: ctx.Done(), topic: cfg.desireTopic(), events: events, log: ctx.Log()}
	reporter := &report.Reporter{
		Client: server, URL: cfg.Remote.Report.URL, Interval: cfg.Remote.Report.Interval, ClientID: cfg.Remote.MQTT.ClientID,
		Serial: device.serial, Key: device.key, Events: events, Log: ctx.Log(),
		Inspect: func(c context.Context) (*masterapi.Inspect, error) {
			if err := master.Report(c, ctx.ServiceName(), ctx.InstanceName(), subscriber.stats()); err != nil {
				ctx.Log().WithError(err).Debugf("counters not reported to the master; next attempt with the next report")
			}
			return master.Inspect(c)
		},
	}
	volumes, err := volume.Open(volume.Config{
		Dir:     dataDir,
		Client:  packages,
		Limits:  cfg.OTA.Limits,
		Timeout: cfg.OTA.Timeout,
		Offline: reporter.Away,
		Log:     ctx.Log(),
	})
	if err != nil {
		return err
	}
	defer volumes.Close()
	updater := &update.Updater{
		Events:  events,
		Volumes: volumes,
		Master:  master,
		LogPath: cfg.OTA.Logger.Path,
		Timeout: cfg.OTA.Timeout,
		Log:     ctx.Log(),
	}
	channel, err := mqtt.NewDispatcher(cfg.Remote.MQTT, mqtt.WithLogger(ctx.Log()))
	if err != nil {
		return fmt.Errorf("%s: remote.mqtt.%w", baetyl.ConfigFile, err)
	}
	var g run.Group // stopped in the reverse order: no more events, then no more work, then no more reports
	g.Add("reports", reporter.Run)
	g.Add("updates", updater.Run)
	g.Add("events", func(c context.Context) error {
		if err := channel.Start(subscriber); err != nil {
			return err
		}
		<-c.Done()
		err := channel.Close()
		channel.Wait()
		return err
	})
	serve(&g, cfg, collector{channel, subscriber, reporter, events}, ctx.Log())
	return g.Run(ctx.Done())
}
