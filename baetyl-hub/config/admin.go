package config

import (
	"fmt"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/addr"
)

// Admin is about the admin interface.
type Admin struct {
	Address string `yaml:"address" json:"address" default:"auto"` // unix://path; empty: none
	Group   string `yaml:"group" json:"group" default:"baetyl"`   // of the host, that may use it; it need not exist
}

// AdminAuto as an address is admin.sock in the run folder that the master has made; without one there is none.
const AdminAuto = "auto"

func (a *Admin) check() error {
	if a.Group != "" {
		if err := app.CheckAccount(a.Group); err != nil {
			return fmt.Errorf("admin.group: %w; write the name of a group", err)
		}
	}
	if a.Address == "" || a.Address == AdminAuto {
		return nil
	}
	to, err := addr.Listen(a.Address, "unix")
	if err != nil {
		return fmt.Errorf("admin.address: %w; or write %s, or '' for none", err, AdminAuto)
	}
	if err := http.CheckSocket(to.Path); err != nil {
		return fmt.Errorf("admin.address: %w", err)
	}
	return nil
}
