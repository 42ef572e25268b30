package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/master/metrics"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
)

// usageTimeout is how long a page of metrics waits for a new measurement of what services use.
const usageTimeout = 500 * time.Millisecond

// desk implements metrics.Source.
type desk struct{ *Master }

// Device implements metrics.Source.
func (d desk) Device() metrics.Device {
	c, _ := d.app.Current()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // State is not to wait
	return metrics.Device{
		Version: d.opts.Version, Revision: d.opts.Revision, Mode: d.engine.Name(), Application: c.Version,
		AsWanted: d.app.Failure() == "", Services: d.services.Numbers(usageTimeout),
		Update: d.updater.State(ended, 0), Results: d.updater.Results(),
	}
}

// Data implements metrics.Source.
func (d desk) Data() host.FileSystem {
	out, err := measure.FileSystem(filepath.Join(d.opts.Workdir, dataDir))
	if err != nil {
		return host.FileSystem{}
	}
	return out
}

// Certificates implements metrics.Source.
func (d desk) Certificates(ctx context.Context) []doctor.Certificate {
	c, _ := d.app.Current()
	return doctor.Certificates(ctx, doctor.Options{
		Workdir: d.opts.Workdir, Mode: d.engine.Name(), Config: d.config(), Application: c,
	})
}

// Ready implements metrics.Source: what baetyl status calls failed.
func (d desk) Ready() error {
	select {
	case <-d.begun:
	default:
		return errors.New("the application is being started")
	}
	if why := d.app.Failure(); why != "" {
		return fmt.Errorf("the application is not as wanted: %s", masterapi.Line(why))
	}
	for _, s := range d.services.Statuses(false) {
		switch s.State {
		case masterapi.StatusRunning, masterapi.StatusExited, masterapi.StateIdle:
		default:
			if s.Stopped == nil {
				return fmt.Errorf("service %s is %s", s.Name, s.State)
			}
		}
	}
	return nil
}

// DialInstance implements metrics.Source.
func (d desk) DialInstance(ctx context.Context, service, instance string) (net.Conn, error) {
	return d.services.DialInstance(ctx, service, instance)
}

// metricsOf is the key metrics of a configuration, with absolute paths.
func metricsOf(c Config, workdir string) metrics.Config {
	out := c.Metrics
	for _, path := range []*string{&out.CA, &out.Cert, &out.Key} {
		if *path != "" {
			*path = inDir(workdir, *path)
		}
	}
	return out
}
