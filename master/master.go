// Package master wires the system together: what runs (master/application), what changes it (master/update), and what
// the API shows.
//
//	conf.yml ─► Config ─► New ─► Run: lock ─► API listens ─► Updater.Run: application.yml ─► services
//	                                            │               └ broken: error in inspect, API serves
//	                                            └─► Inspect, Update, AvailablePort, Services ─► service.Manager ─► engine
//
// It promises that one master works in a directory, that a broken application or service leaves the API reachable, and
// that Run returns when no service is left, or when its keeper has what is left (end.go). It does not know how its API
// is served: cmd hands that in.
package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/master/logs"
	"github.com/baetyl/baetyl/master/metrics"
	"github.com/baetyl/baetyl/master/rules"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
	"github.com/baetyl/baetyl/utils/sample"
)

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
	// Stop begins to stop everything, as a signal does; who is for the log.
	Stop func(who string) error
	// Apply sets what the caller has made from the keys of the configuration that a reload changes: logger, docker. nil:
	// nothing
	Apply func(Config)

	Program string // path of this master's program, which an update of type MST replaces; empty: such updates are refused

	Keeper   Keeper   // nil: services end with this master
	Lock     *os.File // of the working directory, as KeptLock of the keeper; nil: it is free
	Rejected string   // why the candidate that was tried before this master was rejected

	// Ready is set in a candidate: it is called when the application has been started, and returns when this binary is
	// the one that boots. An error means that this binary was rejected.
	Ready     func(ctx context.Context) error
	HasParent bool // Ready asks a master of a version before, not the keeper
}

// API is how others reach this master. Listen is called once, before anything runs; then Serve, until its context ends.
// Leave, before that, makes it leave what it listens on to the next master.
type API interface {
	Listen() error
	Serve(ctx context.Context) error
	Leave()
}

// Master is the core of the system. Run is called once; the other exported methods are those of the API, for any
// goroutine.
type Master struct {
	cfg      Config
	opts     Options
	engine   engine.Engine
	events   *events.Ring
	logs     *logs.Logs
	services *service.Manager
	app      *application.Application
	updater  *update.Updater
	plain    bool // the successor is of a version without a keeper; written and read by the goroutine of the updater
	ports    application.Ports
	hardware *sample.Cache[masterapi.Hardware]
	gpus     *sample.Cache[[]host.GPU]
	metrics  *metrics.Server
	started  time.Time
	begun    chan struct{} // closed when the application has been started
	updated  chan struct{} // has room for one value: an update has ended, and what it left is pruned

	collecting sync.Mutex // held while a backup or a support bundle is made

	reloading sync.Mutex // guards running
	running   Config     // cfg, with what reloads have changed
}

// New returns a master that runs services with e. It opens nothing.
func New(cfg Config, e engine.Engine, opts Options) (*Master, error) {
	if err := cfg.startable(opts.Workdir); err != nil {
		return nil, err
	}
	env, err := systemEnv(cfg, e, opts.Workdir)
	if err != nil {
		return nil, err
	}
	m := &Master{cfg: cfg, opts: opts, engine: e, started: time.Now().UTC(), running: cfg}
	m.updated, m.begun = make(chan struct{}, 1), make(chan struct{})
	m.events, m.logs = events.New(0), logs.New(opts.Workdir)
	m.services = service.New(service.Options{
		Engine: e, Env: env, Grace: cfg.Grace, Log: opts.Log, Boot: measure.BootID(),
		Events:  m.events,
		Records: service.NewRecords(filepath.Join(opts.Workdir, recordsFile), file.OS, opts.Log),
		Stops:   service.NewStops(filepath.Join(opts.Workdir, stopsFile), file.OS, opts.Log),
	})
	m.app = application.New(application.Options{
		Engine: e, Services: m.services, Log: opts.Log, Workdir: opts.Workdir,
	})
	updates := updateOptions(cfg, opts)
	updates.Events = m.events
	updates.Ended = func() {
		select {
		case m.updated <- struct{}{}:
		default: // the next run serves this one too
		}
	}
	updates.Started = func() { close(m.begun) }
	if opts.Keeper != nil {
		updates.Keeper = tries{m}
	}
	updates.Rules = func(c *app.Config) []string { return rules.Check(c, e.Name()) }
	m.updater = update.New(m.app, updates)
	var cpu measure.CPUMeter
	m.hardware = sample.New(time.Second, inspectTimeout, func(context.Context) masterapi.Hardware {
		return masterapi.Hardware{
			Host: measure.GetInfo(), Net: measure.GetNet(), Mem: measure.GetMem(), CPU: cpu.Get(), Disk: measure.GetDisk(),
		}
	})
	m.metrics = metrics.New(desk{m}, metricsOf(cfg, opts.Workdir), opts.Log)
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
		sn, err := c.serial(workdir)
		if err != nil {
			return nil, err
		}
		env[masterapi.EnvHostSN] = sn
	}
	return env, nil
}

// updateOptions are what an update needs to know of a master.
func updateOptions(cfg Config, opts Options) update.Options {
	return update.Options{
		Workdir: opts.Workdir, Config: opts.Config, OTALog: inDir(opts.Workdir, cfg.OTALog.Path), Program: opts.Program,
		Healthy: cfg.Update.Healthy, Deadline: cfg.Update.Deadline, Log: opts.Log,
		Keep:     update.Keep{Max: cfg.History.Max, Size: int64(cfg.History.Size)},
		Rejected: opts.Rejected, Ready: opts.Ready, HasParent: opts.HasParent,
	}
}

// Services returns the manager of the services, for the API.
func (m *Master) Services() *service.Manager { return m.services }

// Update checks r and begins it: masterapi.ErrBusy, masterapi.ErrRefused. What goes wrong later shows in Inspect. by is
// who asks.
func (m *Master) Update(r masterapi.UpdateRequest, by masterapi.By) error {
	return m.updater.Request(r, by)
}

// AvailablePort returns a free port of the host.
func (m *Master) AvailablePort() (string, error) { return m.ports.Available(time.Now()) }

// Run runs the application until ctx ends, or until a successor is to take over. Then it stops the services and returns
// when none is left, or leaves them to the keeper, as the cause of ctx says (Ending). Before it holds the lock of the
// working directory it touches nothing there.
func (m *Master) Run(ctx context.Context, api API) error {
	held, err := lock(m.opts.Workdir, m.opts.Lock)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := backup.Recover(m.opts.Workdir); err != nil { // before anything is read that it replaces
		return err
	}
	if err := api.Listen(); err != nil {
		return err
	}
	defer m.keepEvents()()
	if m.opts.Keeper != nil {
		if err := m.opts.Keeper.Keep(KeptLock, held); err != nil {
			return fmt.Errorf("hand the lock of the working directory to the keeper: %w", err)
		}
	}
	m.opts.Log.WithField(log.KeyAddress, m.cfg.Server.Address).WithField("mode", m.engine.Name()).
		WithField("workdir", m.opts.Workdir).Infof("master started")
	m.events.Add(masterapi.EventMasterStarted, "", "", "master started", nil)
	// The application is last in and first out: while its services stop they may still need the API, and the
	// measurements belong to the API. Callers wait until it is known which services there are: a service that an
	// earlier master has left is not told that its token is wrong.
	var g run.Group
	var left, handed bool
	g.Add("keeper", m.alive)
	g.Add("hardware", m.hardware.Run)
	g.Add("gpus", m.gpus.Run)
	g.Add("usage", m.services.Run)
	g.Add("prune", m.prunes)
	g.Add("metrics", m.metrics.Run)
	g.Add("api", func(ctx context.Context) error {
		m.hardware.Get() // so that the first request has something to show; services do not wait for it
		select {
		case <-m.services.Known():
		case <-ctx.Done():
		}
		return api.Serve(ctx)
	})
	g.Add("engine", func(ctx context.Context) error {
		m.engine.Run(ctx)
		return nil
	})
	g.Add("application", func(own context.Context) error {
		var err error
		handed, err = m.updater.Run(own)
		if left = m.stays(ctx, err); left {
			if !m.plain {
				api.Leave()
			}
			return err
		}
		return errors.Join(err, m.app.StopAll())
	})
	err = g.Run(ctx)
	if left {
		m.app.Leave()
	}
	if m.plain { // that locks the directory itself
		err = errors.Join(err, m.opts.Keeper.Keep(KeptLock, nil))
	}
	err = errors.Join(err, m.engine.Close())
	m.farewell(ctx, left, handed, err)
	return err
}
