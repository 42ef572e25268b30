package config

import (
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/listener"
)

// Connection has the limits of connections.
type Connection struct {
	Max     int `yaml:"max" json:"max" default:"20000" validate:"min=1"`
	Address struct {
		// of one address; 0: half of connection.max, and for the loopback addresses no limit of their own
		Max int `yaml:"max" json:"max" default:"0" validate:"min=0"`
	} `yaml:"address" json:"address"`
	Connect struct {
		Timeout time.Duration `yaml:"timeout" json:"timeout" default:"10s" validate:"min=1ms"`
	} `yaml:"connect" json:"connect"`
	Login struct {
		Delay time.Duration `yaml:"delay" json:"delay" default:"3s" validate:"min=0s"` // longest one; 0: none
	} `yaml:"login" json:"login"`
	Write struct {
		Timeout time.Duration `yaml:"timeout" json:"timeout" default:"30s" validate:"min=1ms"`
	} `yaml:"write" json:"write"`
	// of web pages that may connect over ws and wss, besides those of the hub's own host; "*": any
	Origins []string `yaml:"origins" json:"origins"`
}

// Limits returns the limits of connections for the listeners.
func (c *Connection) Limits() listener.Limits {
	if c.Address.Max > 0 {
		return listener.Limits{All: c.Max, Address: c.Address.Max, Local: c.Address.Max}
	}
	return listener.Limits{All: c.Max, Address: max(1, c.Max/2)}
}
