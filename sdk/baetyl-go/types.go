package baetyl

import (
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

// Names of types of the protocols, so that a module imports this package only.
type (
	Inspect = masterapi.Inspect
	// UpdateRequest asks for an update (Master.RequestUpdate).
	UpdateRequest = masterapi.UpdateRequest
	Logger        = log.Logger
)

// ServiceConfig is the part of service.yml that every module has.
type ServiceConfig struct {
	Hub    mqtt.ClientInfo `yaml:"hub" json:"hub"`
	Logger log.Config      `yaml:"logger" json:"logger"`
}
