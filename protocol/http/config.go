package http

import (
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
)

// ServerConfig is the `server` section of a configuration.
type ServerConfig struct {
	// unix://path, tcp://host:port, or https://host:port
	Address string `yaml:"address" json:"address"`
	// for one request, handler included; 0 in code means the default
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"5m" validate:"min=1"`
	// Cert and Key turn TLS on; with CA a client must present a certificate
	cert.Config `yaml:",inline" json:",inline"`
}

// Validate checks the address and which certificate keys go together; it touches no file. The error starts with the
// key's name.
func (c ServerConfig) Validate() error {
	a, err := addr.Listen(c.Address, addr.Server...)
	switch set := c.set(); {
	case err != nil:
		return fmt.Errorf("address: %w", err)
	case a.Scheme == "unix" && len(set) > 0:
		const text = "address: %q is a unix socket, which has no TLS, but %s is set; leave that out, " +
			"or write tcp:// or https://"
		return fmt.Errorf(text, c.Address, strings.Join(set, ", "))
	case a.Scheme == "https" && c.Cert == "" && c.Key == "":
		return fmt.Errorf("address: %q needs the keys cert and key; set them or write tcp://", c.Address)
	}
	return c.CheckServer()
}

// set lists the certificate keys that are set.
func (c ServerConfig) set() (keys []string) {
	for _, k := range []struct{ name, value string }{{"cert", c.Cert}, {"key", c.Key}, {"ca", c.CA}} {
		if k.value != "" {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// Exposed is cert.Config.Exposed of the address, which has been validated.
func (c ServerConfig) Exposed() (warning, info string) {
	if host := c.host(); host != "" {
		return c.Config.Exposed(host)
	}
	return "", ""
}

// host is where the server listens, as host:port; empty: at a unix socket.
func (c ServerConfig) host() string {
	a, err := addr.Listen(c.Address, addr.Server...)
	if err != nil || a.Scheme == "unix" {
		return ""
	}
	return a.Host
}
