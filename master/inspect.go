package master

import (
	"runtime"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

// Inspect describes the system. It returns within about 100 ms: what takes longer to measure is an earlier value.
func (m *Master) Inspect() *masterapi.Inspect {
	c, _ := m.app.Current()
	out := &masterapi.Inspect{
		Error: m.app.Failure(),
		Time:  time.Now().UTC(),
		Software: masterapi.Software{
			OS: runtime.GOOS, Arch: runtime.GOARCH, PWD: m.opts.Workdir, Mode: m.engine.Name(), GoVersion: runtime.Version(),
			BinVersion: m.opts.Version, GitRevision: m.opts.Revision, ConfVersion: c.Version,
			StartTime: &m.started,
		},
	}
	var gpus []host.GPU
	var wg sync.WaitGroup // each waits for its measurement, up to inspectTimeout
	wg.Go(func() { out.Hardware = m.hardware.Get() })
	wg.Go(func() { gpus = m.gpus.Get() })
	wg.Go(func() { out.Services = m.services.Inspect() })
	wg.Wait()
	out.Hardware.GPU = gpus
	for _, v := range c.Volumes {
		out.Volumes = append(out.Volumes, masterapi.Volume{Name: v.Name, Path: v.Path, Version: v.Meta.Version})
	}
	return out
}

// Health says how the services are.
func (m *Master) Health() masterapi.SystemHealth {
	return masterapi.SystemHealthOf(m.services.Health(), m.app.Failure())
}
