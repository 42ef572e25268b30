package metrics

import (
	"fmt"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
)

// Config is the key metrics of conf.yml.
type Config struct {
	Address string `yaml:"address" json:"address"` // host:port; empty: none
	// names that requests may ask for besides addresses, names without a dot and the name of this machine
	Hosts []string `yaml:"hosts" json:"hosts"`
	// Cert and Key turn TLS on, and CA lets in those alone who present a certificate
	cert.Config `yaml:",inline" json:",inline"`
}

// Validate says what is wrong with the keys, whose names its errors begin with. It opens nothing. The numbers name all
// services, so that other hosts get them only with a certificate, or where somebody has said so.
func (c Config) Validate() error {
	if err := c.CheckServer(); err != nil {
		return err
	}
	if c.Address == "" {
		return nil
	}
	if err := addr.CheckListen(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if !addr.Loopback(c.Address) && c.CA == "" && !c.Insecure {
		return fmt.Errorf("address: other hosts can reach %s: listen on 127.0.0.1; or set cert, key and ca, so that only "+
			"who has a certificate of that authority gets the numbers; or say with insecure: true that everybody may", c.Address)
	}
	return nil
}
