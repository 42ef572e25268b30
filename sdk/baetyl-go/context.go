package baetyl

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// ConfigFile is where a module finds its configuration, relative to its working directory.
const ConfigFile = "etc/baetyl/service.yml"

// closeTimeout is how long a module that ends waits for its hub clients to send what they hold.
const closeTimeout = 2 * time.Second

// Context gives a module its configuration, its log, the hub and the master. Its methods may be called from any
// goroutine.
type Context interface {
	// Config returns the system configuration of the service, such as hub and logger.
	Config() *ServiceConfig
	// LoadConfig loads the custom configuration of the service, a pointer to a struct, from the same file. A key that
	// neither the struct nor ServiceConfig has is a warning in the log: the documents' timer is given one.
	LoadConfig(out interface{}) error
	// NewHubClient creates a client of the hub from the system configuration. clientID and subscriptions replace those of
	// the configuration unless they are empty or nil; where both ids are empty, it is the name of the instance. The client
	// connects when it is started, and is closed when the module ends.
	NewHubClient(clientID string, subscriptions []mqtt.TopicInfo) (*mqtt.Dispatcher, error)
	// Log returns the module's log.
	Log() Logger
	// IsNative tells whether the service runs as a process, not in a container.
	IsNative() bool
	// Wait blocks until the service is asked to end, by SIGTERM or SIGINT, or by the context of RunContext.
	Wait()
	// WaitChan returns the channel, always the same, that delivers that signal and is closed after it. Under RunContext it
	// is closed without one.
	WaitChan() <-chan os.Signal

	// UpdateSystem asks the master to update the application to the one at path. clean has no effect; it is kept so that
	// older modules compile: the agent removes by itself what is not used any more.
	UpdateSystem(path string, clean bool) error
	// InspectSystem returns the report of the system.
	InspectSystem() (*Inspect, error)
	// GetAvailablePort returns a TCP port of the host that no process uses.
	GetAvailablePort() (string, error)
	// ReportInstance sets numbers of this instance, which the report of the system then shows.
	ReportInstance(stats map[string]interface{}) error
	// StartInstance starts an instance of a service, in place of one with the same name. dynamicConfig is added to its
	// environment: BAETYL_…, and what accept_env of the service lists.
	StartInstance(serviceName, instanceName string, dynamicConfig map[string]string) error
	// StopInstance stops an instance of a service.
	StopInstance(serviceName, instanceName string) error

	// The rest is newer than the documents.

	// LoadConfigStrict is LoadConfig to which such a key is an error.
	LoadConfigStrict(out interface{}) error
	// Update asks the master for an update: kind is masterapi.UpdateApp or UpdateMaster, trace the id of its progress log.
	Update(trace, kind, path string) error
	// Master returns the client of the master's API, or why there is none.
	Master() (*Master, error)
	// ServiceName and InstanceName are those of this process; empty outside of a master.
	ServiceName() string
	InstanceName() string
	// CheckHealth adds a check to what the master is told when it asks whether the module works: an error says that it
	// does not, and why. A check has to return soon after ctx ends.
	CheckHealth(check func(ctx context.Context) error)
	// Done is a context that ends when the service is asked to end.
	Done() context.Context
}

type moduleContext struct {
	config    ServiceConfig
	log       *log.Root
	master    *Master
	masterErr error
	native    bool
	service   string
	instance  string
	done      context.Context
	waiting   chan os.Signal

	checking chan struct{} // holds a value while the checks run

	mu     sync.Mutex // guards what follows
	hubs   []*mqtt.Dispatcher
	checks []func(context.Context) error
}

// newContext reads the environment and the system part of the configuration. A file that is missing means defaults, one
// that is wrong is an error.
func newContext() (*moduleContext, error) {
	c := &moduleContext{
		service:  masterapi.Getenv(masterapi.EnvServiceName),
		instance: masterapi.Getenv(masterapi.EnvInstanceName),
		native:   masterapi.Getenv(masterapi.EnvServiceMode) == masterapi.ModeNative,
		waiting:  make(chan os.Signal, 1),
		checking: make(chan struct{}, 1),
	}
	var warnings []string
	if err := LoadSections(&c.config, conf.Warn(func(text string) { warnings = append(warnings, text) })); err != nil {
		return c, err
	}
	c.log = log.New(c.config.Logger, log.KeyService, c.service, log.KeyInstance, c.instance)
	for _, text := range warnings {
		c.warn(text)
	}
	c.master, c.masterErr = NewMaster()
	return c, nil
}

// LoadSections reads the sections of ConfigFile that out, a pointer to a struct, has; a missing file means defaults.
// Other sections belong to others, who check them. It is for packages that add to the SDK; a module calls
// Context.LoadConfig.
func LoadSections(out any, opts ...conf.Option) error {
	return conf.LoadOrDefault(ConfigFile, out, append(opts, conf.AllowOthers())...)
}

// watch makes the module end when parent does, or with the first signal, which it announces. The returned function
// takes it back.
func (c *moduleContext) watch(parent context.Context, signals <-chan os.Signal) func() {
	var cancel context.CancelFunc
	c.done, cancel = context.WithCancel(parent)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			signal.Reset(syscall.SIGINT) // a second Ctrl-C kills, as a user at a terminal expects
			c.waiting <- s
		case <-c.done.Done():
		}
		close(c.waiting)
		cancel()
	}()
	return func() {
		cancel()
		<-ended
	}
}

// closeHubs ends the hub clients: what they hold is sent if the hub is there, then they disconnect.
func (c *moduleContext) closeHubs() {
	c.mu.Lock()
	hubs := c.hubs
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, h := range hubs {
		all.Go(func() {
			if h.Stats().Connected {
				h.Drain(ctx) // the rest is lost with the process, which Close tells the publisher
			}
			h.Close()
		})
	}
	all.Wait()
}

func (c *moduleContext) Config() *ServiceConfig { return &c.config }

func (c *moduleContext) LoadConfig(out interface{}) error { return c.load(out, conf.WarnUnknown()) }

func (c *moduleContext) LoadConfigStrict(out interface{}) error { return c.load(out) }

func (c *moduleContext) load(out interface{}, opts ...conf.Option) error {
	return conf.Load(ConfigFile, out, append(opts, conf.AllowKeys("hub", "logger"), conf.Warn(c.warn))...)
}

func (c *moduleContext) warn(text string) { c.log.Warnf("%s", text) }

func (c *moduleContext) NewHubClient(clientID string, subscriptions []mqtt.TopicInfo) (*mqtt.Dispatcher, error) {
	cfg := c.config.Hub
	if cfg.Address == "" {
		return nil, fmt.Errorf("hub not configured: set hub.address in %s", ConfigFile)
	}
	if clientID != "" {
		cfg.ClientID = clientID
	}
	if cfg.ClientID == "" && !cfg.CleanSession {
		cfg.ClientID = c.instance // the same after a restart, and no other instance of the device has it
	}
	if subscriptions != nil {
		cfg.Subscriptions = subscriptions
	}
	d, err := mqtt.NewDispatcher(cfg, mqtt.WithLogger(c.log), mqtt.WithContext(c.done))
	if err != nil {
		return nil, fmt.Errorf("%s: hub.%w", ConfigFile, err)
	}
	c.mu.Lock()
	c.hubs = append(c.hubs, d)
	c.mu.Unlock()
	return d, nil
}

func (c *moduleContext) Log() Logger                { return c.log }
func (c *moduleContext) IsNative() bool             { return c.native }
func (c *moduleContext) Wait()                      { <-c.done.Done() }
func (c *moduleContext) WaitChan() <-chan os.Signal { return c.waiting }
func (c *moduleContext) Done() context.Context      { return c.done }
func (c *moduleContext) ServiceName() string        { return c.service }
func (c *moduleContext) InstanceName() string       { return c.instance }
func (c *moduleContext) Master() (*Master, error)   { return c.master, c.masterErr }

func (c *moduleContext) UpdateSystem(path string, clean bool) error {
	return c.Update("", masterapi.UpdateApp, path)
}

func (c *moduleContext) Update(trace, kind, path string) error {
	if c.master == nil {
		return c.masterErr
	}
	return c.master.Update(context.Background(), trace, kind, path)
}

func (c *moduleContext) InspectSystem() (*Inspect, error) {
	if c.master == nil {
		return nil, c.masterErr
	}
	return c.master.Inspect(context.Background())
}

func (c *moduleContext) GetAvailablePort() (string, error) {
	if c.master == nil {
		return "", c.masterErr
	}
	return c.master.AvailablePort(context.Background())
}

func (c *moduleContext) ReportInstance(stats map[string]interface{}) error {
	if c.master == nil {
		return c.masterErr
	}
	return c.master.Report(context.Background(), c.service, c.instance, stats)
}

func (c *moduleContext) StartInstance(serviceName, instanceName string, dynamicConfig map[string]string) error {
	if c.master == nil {
		return c.masterErr
	}
	return c.master.StartInstance(context.Background(), serviceName, instanceName, dynamicConfig)
}

func (c *moduleContext) StopInstance(serviceName, instanceName string) error {
	if c.master == nil {
		return c.masterErr
	}
	return c.master.StopInstance(context.Background(), serviceName, instanceName)
}
