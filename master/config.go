package master

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// Files of the master, relative to its working directory.
const (
	ConfigFile  = "etc/baetyl/conf.yml"
	recordsFile = "var/run/baetyl/instances.json"
	lockFile    = "var/run/baetyl/master.lock"
)

// Config is the master's configuration, etc/baetyl/conf.yml ("Master Configuration").
type Config struct {
	Mode   string        `yaml:"mode" json:"mode" default:"docker"`                 // docker or native
	Docker Docker        `yaml:"docker" json:"docker"`                              // of the docker engine
	Server Server        `yaml:"server" json:"server"`                              // of the API
	Logger log.Config    `yaml:"logger" json:"logger"`                              // of the master; its limits hold for the output of services too
	OTALog OTALog        `yaml:"otalog" json:"otalog"`                              // where the progress of updates is written
	Update Update        `yaml:"update" json:"update"`                              // when an update counts as done
	Grace  time.Duration `yaml:"grace" json:"grace" default:"30s" validate:"min=1"` // between asking services to end and killing them
	SNFile string        `yaml:"snfile" json:"snfile"`                              // file with the serial number of the device, for BAETYL_HOST_SN
}

// Docker is what the docker engine is told. Where its daemon is comes from the environment, as for the docker command.
type Docker struct {
	Pull Pull `yaml:"pull" json:"pull"`
}

// Pull says when and how images are pulled.
type Pull struct {
	Policy   string        `yaml:"policy" json:"policy" default:"missing"`                // missing, always or never
	Timeout  time.Duration `yaml:"timeout" json:"timeout" default:"10m" validate:"min=1"` // for one image
	Parallel int           `yaml:"parallel" json:"parallel" default:"3" validate:"min=1"` // images at a time
}

// Server is where the API listens.
type Server struct {
	http.ServerConfig `yaml:",inline" json:",inline"`
}

// SetDefaults gives the address, which depends on the environment and the system.
func (s *Server) SetDefaults() {
	if s.Address = os.Getenv(masterapi.EnvAPIAddress); s.Address != "" {
		return
	}
	s.Address = "tcp://127.0.0.1:50050"
	if runtime.GOOS == "linux" {
		s.Address = "unix:///var/run/baetyl.sock"
	}
}

// Update says when an update counts as done; otherwise what was before is put back.
type Update struct {
	Healthy  time.Duration `yaml:"healthy" json:"healthy" default:"10s" validate:"min=0"`  // that every new instance has to stay up
	Deadline time.Duration `yaml:"deadline" json:"deadline" default:"5m" validate:"min=1"` // for that, from the stop of the old ones
}

// OTALog is the log of updates, which the agent reads. Of its keys the path counts; the others are those of 2019.
type OTALog struct {
	log.Config `yaml:",inline" json:",inline"`
}

// SetDefaults gives what differs from the master's own log.
func (l *OTALog) SetDefaults() { l.Path, l.Format = masterapi.OTALog, "json" }

// LoadConfig reads the configuration at path; a missing file means the defaults. It changes nothing.
func LoadConfig(path string) (Config, error) {
	var c Config
	err := conf.Load(path, &c)
	if errors.Is(err, fs.ErrNotExist) {
		err = conf.Parse(path, nil, &c)
	}
	return c, err
}

// Validate checks what spans keys.
func (c *Config) Validate() error {
	switch c.Mode {
	case masterapi.ModeNative, masterapi.ModeDocker:
	default:
		return fmt.Errorf("mode: %q is not docker or native", c.Mode)
	}
	switch c.Docker.Pull.Policy {
	case "missing", "always", "never":
	default:
		return fmt.Errorf("docker.pull.policy: %q is not missing, always or never", c.Docker.Pull.Policy)
	}
	if c.Update.Deadline <= c.Update.Healthy {
		return fmt.Errorf("update.deadline: %s is not more than update.healthy, %s", c.Update.Deadline, c.Update.Healthy)
	}
	if err := c.Server.Validate(); err != nil {
		return fmt.Errorf("server.%w", err)
	}
	return nil
}

// Socket returns the absolute path of the API's socket, empty when the API listens on tcp.
func (c Config) Socket(workdir string) string {
	path, ok := strings.CutPrefix(c.Server.Address, "unix://")
	if !ok {
		return ""
	}
	return inDir(workdir, path)
}

// Listen is where the API of the master in workdir listens.
func (c Config) Listen(workdir string) http.ServerConfig {
	out := c.Server.ServerConfig
	if s := c.Socket(workdir); s != "" {
		out.Address = "unix://" + s
	}
	return out
}

// Check validates the configuration and the application of the master in workdir and touches nothing.
func Check(workdir, config string) error {
	if _, err := LoadConfig(inDir(workdir, config)); err != nil {
		return err
	}
	_, err := app.Load(filepath.Join(workdir, application.File))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
