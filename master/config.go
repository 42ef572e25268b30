package master

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/metrics"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// Files of the master, relative to its working directory.
const (
	ConfigFile   = "etc/baetyl/conf.yml"
	openEdgeFile = "etc/openedge/openedge.yml" // of versions before 0.1.4
	recordsFile  = "var/run/baetyl/instances.json"
	stopsFile    = "var/db/baetyl/stopped.json"
	lockFile     = "var/run/baetyl/master.lock"
	dataDir      = "var/db/baetyl"
)

// Config is the master's configuration, etc/baetyl/conf.yml ("Master Configuration").
type Config struct {
	Mode string `yaml:"mode" json:"mode" default:"docker" validate:"oneof=docker|native"`
	// settings of the docker engine
	Docker Docker `yaml:"docker" json:"docker"`
	// settings of the native engine
	Native Native `yaml:"native" json:"native"`
	// address, TLS and limits of the API, and who may use it
	Server Server `yaml:"server" json:"server"`
	// where the numbers of the whole device are, for Prometheus
	Metrics metrics.Config `yaml:"metrics" json:"metrics"`
	// log of the master; its limits of size and number hold for the output files of services too
	Logger log.Config `yaml:"logger" json:"logger"`
	// masterapi.OTALog: where the master writes the progress of updates, and the agent reads it. Only the path is used;
	// the other keys are accepted because configurations of 2019 have them
	OTALog log.Config `yaml:"otalog" json:"otalog" default:"{\"path\":\"var/db/baetyl/ota.log\",\"format\":\"json\"}"`
	// when an update counts as done
	Update Update `yaml:"update" json:"update"`
	// how many of the applications that have run are kept, for baetyl history and revert
	History History `yaml:"history" json:"history"`
	// time between SIGTERM and SIGKILL when services are stopped, but for those that have a grace of their own
	Grace time.Duration `yaml:"grace" json:"grace" default:"30s" validate:"min=1"`
	// file with the serial number of the device, for BAETYL_HOST_SN
	SNFile string `yaml:"snfile" json:"snfile"`
}

// Docker is what the docker engine is told. Where its daemon is comes from the environment, as for the docker command.
type Docker struct {
	Pull Pull `yaml:"pull" json:"pull"`
	// when images that nobody uses are removed
	Prune Prune `yaml:"prune" json:"prune"`
	// containers of all images are hardened, unless their service says otherwise (app.Service.Confine)
	Hardened bool `yaml:"hardened" json:"hardened"`
}

// Pull says when and how images are pulled.
type Pull struct {
	Policy   string        `yaml:"policy" json:"policy" default:"missing" validate:"oneof=missing|always|never"`
	Timeout  time.Duration `yaml:"timeout" json:"timeout" default:"10m" validate:"min=1"` // for one image
	Parallel int           `yaml:"parallel" json:"parallel" default:"3" validate:"min=1"` // images at a time
}

// Native is what the native engine is told.
type Native struct {
	// numbers that the users and groups of services are taken from; empty: the first free thousand of this host
	Users engine.Users `yaml:"users" json:"users"`
}

// Server is the API: where it listens, and for whom.
type Server struct {
	http.ServerConfig `yaml:",inline" json:",inline"`
	// group of the host whose members may use the API without a token, as root may; it need not exist, and may be empty
	Group string `yaml:"group" json:"group" default:"baetyl"`
}

// Complete sets the address of the API when it is empty: from the environment, or the default of the system.
func (c *Config) Complete() {
	if c.Server.Address == "" {
		c.Server.Address = os.Getenv(masterapi.EnvAPIAddress)
	}
	if c.Server.Address == "" {
		c.Server.Address = "tcp://127.0.0.1:50050"
		if runtime.GOOS == "linux" {
			c.Server.Address = "unix:///var/run/baetyl.sock"
		}
	}
}

// Update says when an update counts as done; otherwise the previous version is put back.
type Update struct {
	// how long every new instance, or a new master, has to stay up
	Healthy time.Duration `yaml:"healthy" json:"healthy" default:"10s" validate:"min=0s"`
	// time for that, from the stop of the old ones
	Deadline time.Duration `yaml:"deadline" json:"deadline" default:"5m" validate:"min=1"`
}

// History bounds what is kept of the applications that have run. What runs, and what a revert brings back, stays.
type History struct {
	Max  int       `yaml:"max" json:"max" default:"20" validate:"min=2, max=1000"` // entries
	Size conf.Size `yaml:"size" json:"size" default:"8m" validate:"min=0"`         // of all application.yml together
}

// Advice names what the master does as the file says, and a person should know.
func (c Config) Advice() []string {
	if warning, _ := c.Server.Exposed(); warning != "" {
		return []string{warning}
	}
	return nil
}

// LoadConfig reads the configuration at path; a missing file means the defaults. It changes nothing.
func LoadConfig(path string, opts ...conf.Option) (Config, error) {
	var c Config
	err := conf.LoadOrDefault(path, &c, opts...)
	return c, err
}

// CheckPresent is the error of a configuration that somebody has named and that does not exist. The one at its usual
// place may be missing, unless there is one of OpenEdge, which would be left out without a word.
func CheckPresent(workdir, config string) error {
	path := inDir(workdir, config)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if path != filepath.Join(workdir, ConfigFile) {
		return fmt.Errorf("configuration file %s, which -c names, does not exist; correct the path, or leave -c out: "+
			"then it is %s, which may be missing", path, ConfigFile)
	}
	if _, err := os.Stat(filepath.Join(workdir, openEdgeFile)); err == nil {
		return fmt.Errorf("%s is there, and %s is not: Baetyl was called OpenEdge until 0.1.3, and its folders were too; "+
			"move them as docs/migration.md says", openEdgeFile, ConfigFile)
	}
	return nil
}

// Validate checks rules that concern several keys.
func (c *Config) Validate() error {
	if c.Update.Deadline <= c.Update.Healthy {
		const text = "update.deadline: %s is not more than update.healthy, %s; raise it or lower that"
		return fmt.Errorf(text, c.Update.Deadline, c.Update.Healthy)
	}
	if _, err := c.Docker.Prune.Percent(); err != nil {
		return fmt.Errorf("docker.prune.%w", err)
	}
	if err := c.Server.Validate(); err != nil {
		return fmt.Errorf("server.%w", err)
	}
	if err := c.Metrics.Validate(); err != nil {
		return fmt.Errorf("metrics.%w", err)
	}
	if c.Server.Group != "" {
		if err := app.CheckAccount(c.Server.Group); err != nil {
			return fmt.Errorf("server.group: %w; write the name of a group", err)
		}
	}
	return nil
}

// Socket returns the absolute path of the API's socket, empty when the API listens on tcp.
func (c Config) Socket(workdir string) string {
	a, err := addr.Listen(c.Server.Address, addr.Server...)
	if err != nil || a.Scheme != "unix" {
		return ""
	}
	return inDir(workdir, a.Path)
}

// Listen returns the server settings of the API, with absolute paths.
func (c Config) Listen(workdir string) http.ServerConfig {
	out := c.Server.ServerConfig
	if s := c.Socket(workdir); s != "" {
		out.Address = "unix://" + s
	}
	for _, path := range []*string{&out.CA, &out.Cert, &out.Key} {
		if *path != "" {
			*path = inDir(workdir, *path)
		}
	}
	return out
}

// ModeLeft returns the mode of the services that an earlier master of this boot has left in workdir, empty when there
// are none or nobody can tell. It changes nothing there.
func ModeLeft(workdir string) string {
	return service.ModeLeft(filepath.Join(workdir, recordsFile), measure.BootID())
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
