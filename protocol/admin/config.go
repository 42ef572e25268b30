package admin

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
)

// Config is the key admin of a module.
type Config struct {
	Address string `yaml:"address" json:"address" default:"auto"` // unix://path; empty: none
	Group   string `yaml:"group" json:"group" default:"baetyl"`   // of the host, that may use it; it need not exist
}

// Metrics are the keys of a module's section metrics that say where its numbers are, beside the admin interface.
type Metrics struct {
	Address string `yaml:"address" json:"address"` // host:port of the Prometheus page /metrics; empty: none
	// names that requests may ask for besides addresses, names without a dot and the name of this machine
	Hosts []string `yaml:"hosts" json:"hosts"`
}

// Check says what is wrong with the keys, whose names its errors begin with.
func (m Metrics) Check() error {
	if m.Address == "" {
		return nil
	}
	if err := addr.CheckListen(m.Address); err != nil {
		return fmt.Errorf("metrics.address: %w", err)
	}
	return nil
}

// Auto as an address is masterapi.ServiceAdmin in the run folder that the master has made; without one there is none.
const Auto = "auto"

// Check says what is wrong with the keys, whose names its errors begin with. It opens nothing.
func (c Config) Check() error {
	if c.Group != "" {
		if err := app.CheckAccount(c.Group); err != nil {
			return fmt.Errorf("admin.group: %w; write the name of a group", err)
		}
	}
	if c.Address == "" || c.Address == Auto {
		return nil
	}
	to, err := addr.Listen(c.Address, "unix")
	if err != nil {
		return fmt.Errorf("admin.address: %w; or write %s, or '' for none", err, Auto)
	}
	if err := http.CheckSocket(to.Path); err != nil {
		return fmt.Errorf("admin.address: %w", err)
	}
	return nil
}

// socket is where the interface listens, and the mode of that file; empty: nowhere.
func (c Config) socket() (address string, mode fs.FileMode) {
	if c.Address != Auto {
		return c.Address, 0o660
	}
	dir := os.Getenv(masterapi.EnvRunDir)
	if dir == "" {
		return "", 0
	}
	// Only persons and the master get into the folder. The module is no member of their group, so it can't give them the
	// socket.
	return "unix://" + filepath.Join(dir, masterapi.ServiceAdmin), 0o666
}
