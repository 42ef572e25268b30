package app

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Container is what docker is told of a container, under the names that compose has. Both forms of the file have these
// keys; native mode uses none of them (ContainerKeys).
type Container struct {
	// a first process of docker's own, which passes signals on and reaps
	Init bool `yaml:"init,omitempty" json:"init,omitempty"`
	// capabilities, with or without CAP_; ALL: each
	CapAdd  []string `yaml:"cap_add,omitempty" json:"cap_add,omitempty"`
	CapDrop []string `yaml:"cap_drop,omitempty" json:"cap_drop,omitempty"`
	// every capability, every device, no filter of system calls
	Privileged bool `yaml:"privileged,omitempty" json:"privileged,omitempty"`
	// see Confine; nil: by image and conf.yml
	Hardened *bool `yaml:"hardened,omitempty" json:"hardened,omitempty"`
	// root of the container; nil: see Confine
	ReadOnly *bool `yaml:"read_only,omitempty" json:"read_only,omitempty"`
	// path[:options], folders in memory
	Tmpfs Texts `yaml:"tmpfs,omitempty" json:"tmpfs,omitempty"`
	// name:address, lines of /etc/hosts
	ExtraHosts Hosts `yaml:"extra_hosts,omitempty" json:"extra_hosts,omitempty"`
	// addresses of servers
	DNS Texts `yaml:"dns,omitempty" json:"dns,omitempty"`
	// docker's own copy of the output; nil: json-file, two files of 5 MB
	Log *Log `yaml:"log,omitempty" json:"log,omitempty"`
	// nil: that of the image. Native mode has it too, as far as the master probes
	Healthcheck *Healthcheck `yaml:"healthcheck,omitempty" json:"healthcheck,omitempty"`
}

// Log says which of docker's drivers keeps its copy of the output.
type Log struct {
	Driver  string            `yaml:"driver,omitempty" json:"driver,omitempty"` // empty: json-file
	Options map[string]string `yaml:"options,omitempty" json:"options,omitempty"`
}

// Hosts are name:address; in a file they may be a mapping of names to addresses.
type Hosts []string

// Form implements conf.Former.
func (*Hosts) Form() string { return "a list of name:address, or a mapping of names to addresses" }

// UnmarshalYAML reads both forms.
func (h *Hosts) UnmarshalYAML(unmarshal func(any) error) error {
	var list []string
	if unmarshal(&list) == nil {
		*h = list
		return nil
	}
	var m map[string]string
	if err := unmarshal(&m); err != nil {
		return errors.New("expected a list of name:address, or a mapping of names to addresses")
	}
	out := Hosts{}
	for _, name := range sortedKeys(m) {
		out = append(out, name+":"+m[name])
	}
	*h = out
	return nil
}

// Test is a command for docker: CMD and a program with its arguments, CMD-SHELL and a line for the shell, or NONE. In a
// file a text is a line for the shell.
type Test []string

// Form implements conf.Former.
func (*Test) Form() string {
	return "a line for the shell, or a list that begins with CMD, CMD-SHELL or NONE"
}

// UnmarshalYAML reads both forms.
func (t *Test) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) == nil {
		*t = Test{"CMD-SHELL", text}
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return fmt.Errorf("expected %s", t.Form())
	}
	*t = list
	return nil
}

// ContainerKeys returns the keys of c that are set, as they stand in a file.
func (c Container) ContainerKeys() (keys []string) {
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"init", c.Init}, {"cap_add", len(c.CapAdd) > 0}, {"cap_drop", len(c.CapDrop) > 0}, {"privileged", c.Privileged},
		{"hardened", c.Hardened != nil}, {"read_only", c.ReadOnly != nil}, {"tmpfs", len(c.Tmpfs) > 0},
		{"extra_hosts", len(c.ExtraHosts) > 0}, {"dns", len(c.DNS) > 0}, {"log", c.Log != nil},
		{"healthcheck", c.Healthcheck != nil && len(c.Healthcheck.Probes(true)) == 0},
	} {
		if k.set {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// check checks everything but tmpfs, which must not meet a mount. An error starts with the key.
func (c Container) check() error {
	for _, list := range []struct {
		key   string
		names []string
	}{{"cap_add", c.CapAdd}, {"cap_drop", c.CapDrop}} {
		for i, name := range list.names {
			if _, err := ParseCapability(name); err != nil {
				return fmt.Errorf("%s[%d]: %w", list.key, i, err)
			}
		}
	}
	if c.Privileged {
		switch {
		case len(c.CapAdd)+len(c.CapDrop) > 0:
			return errors.New("privileged: has every capability; leave cap_add and cap_drop out, or privileged")
		case c.Hardened != nil && *c.Hardened:
			return errors.New("privileged: cannot be hardened; leave one of them out")
		}
	}
	for i, h := range c.ExtraHosts {
		if _, _, err := ParseHost(h); err != nil {
			return fmt.Errorf("extra_hosts[%d]: %w", i, err)
		}
	}
	for i, address := range c.DNS {
		if net.ParseIP(address) == nil {
			return fmt.Errorf("dns[%d]: %q is not an IP address; write one such as 192.168.1.1", i, address)
		}
	}
	if c.Log != nil {
		if err := c.Log.check(); err != nil {
			return fmt.Errorf("log.%w", err)
		}
	}
	if c.Healthcheck != nil {
		if err := c.Healthcheck.check(); err != nil {
			return fmt.Errorf("healthcheck.%w", err)
		}
	}
	return nil
}

// hostGateway is docker's name for the address of the host.
const hostGateway = "host-gateway"

// ParseHost reads name:address; the address is one of IPv4 or IPv6, or host-gateway.
func ParseHost(text string) (name, address string, err error) {
	name, address, _ = strings.Cut(text, ":")
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if name == "" || strings.ContainsAny(name, " \t\n\x00") || address != hostGateway && net.ParseIP(address) == nil {
		const form = "host %q: write name:address, for example printer:192.168.1.7 or gateway:%s"
		return "", "", fmt.Errorf(form, text, hostGateway)
	}
	return name, address, nil
}
