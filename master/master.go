// Package master wires the system together: what runs (master/application), what changes it (master/update), and what
// the API shows.
//
//	conf.yml ─► Config ─► New ─► Run: lock ─► API listens ─► Updater.Run: application.yml ─► services
//	                                            │               └ broken: error in inspect, API serves
//	                                            └─► Inspect, Update, AvailablePort, Services ─► service.Manager ─► engine
//
// It promises that one master works in a directory, that a broken application or service leaves the API reachable, and
// that Run returns when no service is left. It does not know how its API is served: cmd hands that in.
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

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
	"github.com/baetyl/baetyl/utils/sample"
)

// envSerial is the serial number of the device, from the file that snfile names (since 1.0).
const envSerial = "BAETYL_HOST_SN"

// inspectTimeout is how long Inspect waits for a new measurement before it shows the previous one.
const inspectTimeout = 80 * time.Millisecond

// Options are what a Master needs beside its configuration.
type Options struct {
	Workdir  string // absolute
	Config   string // path of the configuration file
	Version  string // of the binary
	Revision string
	Log      log.Logger

	// Restart makes the keeper start another master when this one, which it tells to leave, has ended; who is for the log.
	// nil: there is no keeper
	Restart func(who string) error
	// Apply sets what the caller has made from the keys of the configuration that a reload changes: logger, docker.pull.
	// nil: nothing
	Apply func(Config)

	Program string // path of this master's program, which an update of type MST replaces; empty: such updates are refused

	// Ready is set in a candidate: it is called when the application has been started, and returns when this binary is
	// the one that boots. An error means that this binary was rejected.
	Ready func(ctx context.Context) error
}

// API is how others reach this master. Listen is called once, before anything runs; then Serve, until its context ends.
type API interface {
	Listen() error
	Serve(ctx context.Context) error
}

// Master is the core of the system. Run is called once; the other exported methods are those of the API, for any
// goroutine.
type Master struct {
	cfg      Config
	opts     Options
	engine   engine.Engine
	services *service.Manager
	app      *application.Application
	updater  *update.Updater
	ports    application.Ports
	hardware *sample.Cache[masterapi.Hardware]
	gpus     *sample.Cache[[]host.GPU]
	started  time.Time

	reloading sync.Mutex // guards running
	running   Config     // cfg, with what reloads have changed
}

// New returns a master that runs services with e. It opens nothing.
func New(cfg Config, e engine.Engine, opts Options) (*Master, error) {
	env, err := systemEnv(cfg, e, opts.Workdir)
	if err != nil {
		return nil, err
	}
	m := &Master{cfg: cfg, opts: opts, engine: e, started: time.Now().UTC(), running: cfg}
	m.services = service.New(service.Options{
		Engine: e, Env: env, Grace: cfg.Grace, Log: opts.Log,
		Records: service.NewRecords(filepath.Join(opts.Workdir, recordsFile), file.OS, opts.Log),
	})
	m.app = application.New(application.Options{Engine: e, Services: m.services, Log: opts.Log})
	m.updater = update.New(m.app, updateOptions(cfg, opts))
	var cpu measure.CPUMeter
	m.hardware = sample.New(time.Second, inspectTimeout, func(context.Context) masterapi.Hardware {
		return masterapi.Hardware{
			Host: measure.GetInfo(), Net: measure.GetNet(), Mem: measure.GetMem(), CPU: cpu.Get(), Disk: measure.GetDisk(),
		}
	})
	m.gpus = sample.New(10*time.Second, inspectTimeout, measure.GetGPUs)
	return m, nil
}

// systemEnv returns the variables that every instance gets.
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
	if id := measure.ID(); id != "" {
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

// updateOptions are what an update needs to know of a master.
func updateOptions(cfg Config, opts Options) update.Options {
	return update.Options{
		Workdir: opts.Workdir, Config: opts.Config, OTALog: inDir(opts.Workdir, cfg.OTALog.Path), Program: opts.Program,
		Healthy: cfg.Update.Healthy, Deadline: cfg.Update.Deadline, Grace: cfg.Grace, Log: opts.Log, Ready: opts.Ready,
	}
}

// Try runs a new binary that an update has brought, if there is one; a candidate itself does not call it. done tells
// that the caller must not be the master, and has to end with err or that status.
func Try(ctx context.Context, cfg Config, opts Options) (done bool, status int, err error) {
	return update.Try(ctx, updateOptions(cfg, opts), func() (func(), error) { return lock(opts.Workdir) })
}

// Services returns the manager of the services, for the API.
func (m *Master) Services() *service.Manager { return m.services }

// Update checks r and begins it: masterapi.ErrBusy, masterapi.ErrRefused. What goes wrong later shows in Inspect.
func (m *Master) Update(r masterapi.UpdateRequest) error { return m.updater.Request(r) }

// AvailablePort returns a free port of the host.
func (m *Master) AvailablePort() (string, error) { return m.ports.Available(time.Now()) }

// Run runs the application until ctx ends, then stops its services and returns when none is left. Before it holds the
// lock of the working directory it touches nothing there.
func (m *Master) Run(ctx context.Context, api API) error {
	unlock, err := lock(m.opts.Workdir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := api.Listen(); err != nil {
		return err
	}
	m.opts.Log.WithField(log.KeyAddress, m.cfg.Server.Address).WithField("mode", m.engine.Name()).
		WithField("workdir", m.opts.Workdir).Infof("master started")
	// The application is last in and first out: while its services stop they may still need the API, and the
	// measurements belong to the API.
	var g run.Group
	g.Add("hardware", m.hardware.Run)
	g.Add("gpus", m.gpus.Run)
	g.Add("usage", m.services.Run)
	g.Add("api", api.Serve)
	g.Add("application", func(ctx context.Context) error {
		m.hardware.Get() // so that the first request has something to show
		return m.updater.Run(ctx)
	})
	err = errors.Join(g.Run(ctx), m.engine.Close())
	m.opts.Log.Infof("master stopped")
	return err
}
