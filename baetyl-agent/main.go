// Command baetyl-agent connects a device with the cloud that manages it: it reports, takes updates, and cleans up after them. It
// reads etc/baetyl/service.yml; docs/agent.md explains its keys.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/baetyl-agent/journal"
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

func main() { baetyl.Run(agent) }

func agent(ctx baetyl.Context) error {
	var cfg config
	if err := ctx.LoadConfig(&cfg); err != nil {
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
	packages, err := volume.NewClient(cfg.Remote.HTTP.Config)
	if err != nil {
		return fmt.Errorf("%s: remote.http: %w", baetyl.ConfigFile, err)
	}
	master, err := ctx.Master()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dataDir); err != nil {
		return fmt.Errorf("%w; mount a volume with the path %s there", err, cloud.Root)
	}
	jobs, err := journal.Open(ctx.Done(), filepath.Join(dataDir, volume.Private), ctx.Log())
	if ctx.Done().Err() != nil { // while it waited for an agent that ended
		return nil
	}
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer jobs.Close()
	events := &events{ctx: ctx.Done(), topic: cfg.desireTopic(), journal: jobs, log: ctx.Log()}
	reporter := &report.Reporter{
		Client: server, URL: cfg.Remote.Report.URL, Interval: cfg.Remote.Report.Interval, ClientID: cfg.Remote.MQTT.ClientID,
		Serial: device.serial, Key: device.key, Journal: jobs, Log: ctx.Log(),
		Inspect: func(c context.Context) (*masterapi.Inspect, error) {
			if err := master.Report(c, ctx.ServiceName(), ctx.InstanceName(), events.stats()); err != nil {
				ctx.Log().WithError(err).Debugf("numbers of the agent are not reported")
			}
			return master.Inspect(c)
		},
	}
	volumes, err := volume.Open(volume.Config{
		Dir: dataDir, Client: packages, Limits: cfg.OTA.Limits, Patience: cfg.OTA.Timeout, Offline: reporter.Away, Log: ctx.Log(),
	})
	if err != nil {
		return err
	}
	defer volumes.Close()
	updater := &update.Updater{
		Journal: jobs, Volumes: volumes, Master: master, LogPath: cfg.OTA.Logger.Path, Timeout: cfg.OTA.Timeout, Log: ctx.Log(),
	}
	channel, err := mqtt.NewDispatcher(cfg.Remote.MQTT, mqtt.WithLogger(ctx.Log()))
	if err != nil {
		return fmt.Errorf("%s: remote.mqtt.%w", baetyl.ConfigFile, err)
	}
	var g run.Group // stopped in the reverse order: no more events, then no more work, then no more reports
	g.Add("reports", reporter.Run)
	g.Add("updates", updater.Run)
	g.Add("events", func(c context.Context) error {
		if err := channel.Start(events); err != nil {
			return err
		}
		<-c.Done()
		err := channel.Close()
		channel.Wait()
		return err
	})
	return g.Run(ctx.Done())
}
