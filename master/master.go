// Package master runs an application: it starts the services of application.yml, keeps them running, answers their API
// calls, and replaces the application by another one.
//
//	conf.yml ─► Config ─► New ─► Run: lock ─► listen ─► end what an earlier master left ─► load application.yml ─► start services
//	                                    │                                                    └ broken: error in inspect, API serves
//	                              API ──┴─► service.Manager ─► engine
//	                                └─Update─► check ─► journal ─► plan ─► swap file ─► stop, start ─► healthy ─► done, or put back
//
// It promises that one master works in a directory, that a broken application or service leaves the API reachable, that an
// update which fails, or a master that is killed in one, leaves the old application or the new one running, whole, and that Run
// returns when no service is left. How the master's own binary is replaced is master/ota's.
package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
	"github.com/baetyl/baetyl/utils/sample"
)

// envSerial is the serial number of the device, from the file that snfile names (since 1.0).
const envSerial = "BAETYL_HOST_SN"

// patience is how long Inspect waits for a new measurement before it shows the one from before.
const patience = 80 * time.Millisecond

// Options are what a Master needs beside its configuration.
type Options struct {
	Workdir  string // absolute
	Config   string // path of the configuration file
	Version  string // of the binary
	Revision string
	Log      log.Logger

	Binary ota.Binary // of this master, which an update of type MST replaces; empty: such updates are refused
	// Trial is set in a candidate binary that has not proved itself: it is called when the application has been started, and returns
	// when this binary is the one that boots. An error means that it is not wanted.
	Trial func(ctx context.Context) error
}

// Master is the core of the system. Run is called once; the other exported methods are those of the API.
type Master struct {
	cfg      Config
	opts     Options
	engine   engine.Engine
	services *service.Manager
	ports    ports
	hardware *sample.Cache[masterapi.Hardware]
	gpus     *sample.Cache[[]host.GPU]
	ledger   *ota.Ledger
	turn     chan struct{} // one slot, holding a value while no update and no start of the application runs
	updates  chan accepted // one slot, for who has the turn

	mu      sync.Mutex // guards what follows
	conf    *app.Config
	data    []byte // of the file that conf was read from
	failure string // of the application, for inspect
}

// New returns a master that runs services with e. It opens nothing.
func New(cfg Config, e engine.Engine, opts Options) (*Master, error) {
	env, err := systemEnv(cfg, e, opts.Workdir)
	if err != nil {
		return nil, err
	}
	m := &Master{cfg: cfg, opts: opts, engine: e, conf: &app.Config{}, turn: make(chan struct{}, 1), updates: make(chan accepted, 1)}
	m.ledger = cfg.Ledger(opts.Workdir)
	m.services = service.New(service.Options{
		Engine: e, Env: env, Grace: cfg.Grace, Log: opts.Log,
		Records: service.NewRecords(filepath.Join(opts.Workdir, recordsFile)),
	})
	var cpu host.CPUMeter
	m.hardware = sample.New(time.Second, patience, func(context.Context) masterapi.Hardware {
		return masterapi.Hardware{
			Host: host.GetInfo(), Net: host.GetNet(), Mem: host.GetMem(), CPU: cpu.Get(), Disk: host.GetDisk(),
		}
	})
	m.gpus = sample.New(10*time.Second, patience, host.GetGPUs)
	return m, nil
}

// Socket returns the absolute path of the API's socket, empty when the API listens on tcp.
func (c Config) Socket(workdir string) string {
	a, err := addr.Listen(c.Server.Address, addr.Server...)
	if err != nil || a.Scheme != "unix" {
		return ""
	}
	return inDir(workdir, a.Path)
}

// systemEnv are the variables that every instance gets.
func systemEnv(c Config, e engine.Engine, workdir string) (map[string]string, error) {
	address := c.Server.Address
	if a, err := addr.Listen(address, addr.Server...); err == nil && c.Server.Cert != "" {
		a.Scheme = "https"
		address = a.String()
	}
	env := map[string]string{
		masterapi.EnvHostOS:      runtime.GOOS,
		masterapi.EnvAPIAddress:  e.Address(address),
		masterapi.EnvAPIVersion:  masterapi.Version,
		masterapi.EnvServiceMode: e.Name(),
	}
	if id := host.ID(); id != "" {
		env[masterapi.EnvHostID] = id
	}
	if s := c.Socket(workdir); s != "" {
		env[masterapi.EnvAPISocket] = s
	}
	if c.SNFile != "" {
		sn, err := os.ReadFile(inDir(workdir, c.SNFile))
		if err != nil {
			return nil, fmt.Errorf("read snfile: %w", err)
		}
		env[envSerial] = strings.TrimSpace(string(sn))
	}
	return env, nil
}

// Run runs the application until ctx ends, then stops its services and returns when none is left.
func (m *Master) Run(ctx context.Context) error {
	unlock, err := lock(m.opts.Workdir)
	if err != nil {
		return err
	}
	defer unlock()
	cfg := m.cfg.Server
	if s := m.cfg.Socket(m.opts.Workdir); s != "" {
		cfg.Address = "unix://" + s
	}
	server := http.NewServer(cfg, api.New(m.services, m, m.opts.Log))
	if err := server.Listen(); err != nil {
		return err
	}
	m.opts.Log.WithField(log.KeyAddress, m.cfg.Server.Address).WithField("mode", m.engine.Name()).
		WithField("workdir", m.opts.Workdir).Infof("master started")
	// The application is last in and first out: while its services stop they may still need the API, and the measurements
	// belong to the API.
	var g run.Group
	g.Add("hardware", m.hardware.Run)
	g.Add("gpus", m.gpus.Run)
	g.Add("usage", m.services.Run)
	g.Add("api", server.Serve)
	g.Add("application", m.runApplication)
	err = errors.Join(g.Run(ctx), m.engine.Close())
	m.opts.Log.Infof("master stopped")
	return err
}

// Inspect describes the system. It takes some milliseconds: what takes longer to measure is from before.
func (m *Master) Inspect() *masterapi.Inspect {
	m.mu.Lock()
	c, failure := m.conf, m.failure
	m.mu.Unlock()
	out := &masterapi.Inspect{
		Error: failure,
		Time:  time.Now().UTC(),
		Software: masterapi.Software{
			OS: runtime.GOOS, Arch: runtime.GOARCH, PWD: m.opts.Workdir, Mode: m.engine.Name(), GoVersion: runtime.Version(),
			BinVersion: m.opts.Version, GitRevision: m.opts.Revision, ConfVersion: c.Version,
		},
	}
	var gpus []host.GPU
	var wg sync.WaitGroup // each waits a moment for what it measures
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

// AvailablePort returns a free port of the host.
func (m *Master) AvailablePort() (string, error) { return m.ports.available(time.Now()) }
