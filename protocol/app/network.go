package app

import (
	"errors"
	"fmt"
	"net/netip"
)

// DefaultNetwork is the docker network that every application has.
const DefaultNetwork = "baetyl"

// Network is a docker network. Its tags are those of the list form; the compose form has composeNetwork.
type Network struct {
	Driver     string            `yaml:"driver,omitempty" json:"driver,omitempty" default:"bridge"`
	DriverOpts map[string]string `yaml:"driver_opts,omitempty" json:"driver_opts,omitempty"`
	Labels     map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	// its addresses, such as 172.30.0.0/24; with ipv6 one more may follow, such as fd00:30::/64. Empty: docker chooses
	Subnet Texts `yaml:"subnet,omitempty" json:"subnet,omitempty"`
	// address of the host in each subnet; empty: the first one
	Gateway Texts `yaml:"gateway,omitempty" json:"gateway,omitempty"`
	// without a way out to other networks
	Internal bool `yaml:"internal,omitempty" json:"internal,omitempty"`
	// containers get addresses of IPv6 too
	IPv6 bool `yaml:"ipv6,omitempty" json:"ipv6,omitempty"`
}

func (n Network) addressed() bool { return len(n.Subnet)+len(n.Gateway) > 0 || n.Internal || n.IPv6 }

// Texts is a list of texts. In a file it is a list, or one text.
type Texts []string

// Form implements conf.Former.
func (*Texts) Form() string { return "a text, or a list of texts" }

// UnmarshalYAML reads both forms.
func (t *Texts) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) == nil {
		*t = nil
		if text != "" {
			*t = Texts{text}
		}
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return errors.New("expected a text, or a list of texts")
	}
	*t = list
	return nil
}

// Prefixes returns the subnets of the network; those that Validate refuses are left out.
func (n Network) Prefixes() (out []netip.Prefix) {
	for _, text := range n.Subnet {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// GatewayIn returns the gateway in a subnet; the zero value: docker chooses it.
func (n Network) GatewayIn(subnet netip.Prefix) netip.Addr {
	for _, text := range n.Gateway {
		if a, err := netip.ParseAddr(text); err == nil && subnet.Contains(a) {
			return a
		}
	}
	return netip.Addr{}
}

// NetworkNames returns the networks that the service is connected to, in order: without any, and without a network
// mode, the one that every application has.
func (s Service) NetworkNames() []string {
	switch {
	case s.NetworkMode != "":
		return nil
	case len(s.Networks) == 0:
		return []string{DefaultNetwork}
	}
	return s.Networks.Names()
}

// NetworksOf returns the networks that belong to the definition of a service. Versions before the keys of addresses
// passed over the definition of a network that the service does not name; without such a key it is no part of it, so
// that the service is the same one for this version.
func (c *Config) NetworksOf(s Service) map[string]Network {
	out := map[string]Network{}
	for _, name := range s.NetworkNames() {
		if _, named := s.Networks[name]; named || c.Networks[name].addressed() {
			out[name] = c.Networks[name]
		}
	}
	return out
}

func (n Network) check() error {
	seen := map[bool]bool{} // by: is it IPv6
	for _, text := range n.Subnet {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("subnet: %q: write an address and the length of its prefix, such as 172.30.0.0/24", text)
		}
		six := p.Addr().Is6()
		switch {
		case p != p.Masked():
			return fmt.Errorf("subnet: %s lies in the middle of a subnet; write %s", text, p.Masked())
		case six && !n.IPv6:
			return fmt.Errorf("subnet: %s is of IPv6; set ipv6: true too", text)
		case p.Addr().BitLen()-p.Bits() < 2:
			return fmt.Errorf("subnet: %s has no room for a gateway and a container; make it larger", text)
		case seen[six]:
			return errors.New("subnet: there can be one of IPv4 and one of IPv6")
		}
		seen[six] = true
	}
	used := map[netip.Prefix]bool{}
	for _, text := range n.Gateway {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("gateway: %q is no address; write one of the subnet", text)
		}
		p, err := n.within(a)
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		if used[p] {
			return fmt.Errorf("gateway: subnet %s has two; keep one of them", p)
		}
		used[p] = true
	}
	return nil
}

// within returns the subnet that a container, or the gateway, can have the address in.
func (n Network) within(a netip.Addr) (netip.Prefix, error) {
	for _, p := range n.Prefixes() {
		if !p.Contains(a) {
			continue
		}
		if a == p.Addr() || a.Is4() && a == broadcast(p) {
			return p, fmt.Errorf("%s is the first or the last address of subnet %s, which nobody can have", a, p)
		}
		return p, nil
	}
	if len(n.Subnet) == 0 {
		return netip.Prefix{}, fmt.Errorf("%s: there is no subnet that it is in; write subnet too", a)
	}
	return netip.Prefix{}, fmt.Errorf("%s is not in subnet %s", a, n.Prefixes())
}

// broadcast is the last address of a subnet of IPv4.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// checkNetworks checks the networks of an application.
func (c *Config) checkNetworks() error {
	names := sortedKeys(c.Networks)
	for i, name := range names {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("networks.%s: %w", name, err)
		}
		n := c.Networks[name]
		if err := n.check(); err != nil {
			return fmt.Errorf("networks.%s.%w", name, err)
		}
		for _, other := range names[:i] {
			for _, p := range n.Prefixes() {
				for _, q := range c.Networks[other].Prefixes() {
					if p.Overlaps(q) {
						return fmt.Errorf("networks.%s.subnet: %s overlaps %s of network %s", name, p, q, other)
					}
				}
			}
		}
	}
	return nil
}

// checkAddresses checks the addresses that services ask for. One in a network without a subnet is accepted: the network
// may exist already, with one.
func (c *Config) checkAddresses() error {
	owner := map[string]string{} // of network and address
	for i, s := range c.Services {
		for _, name := range s.Networks.Names() {
			text, n := s.Networks[name].IPv4Address, c.Networks[name]
			if text == "" || len(n.Subnet) == 0 {
				continue
			}
			at := fmt.Sprintf("services[%d] (%s).networks.%s.ipv4_address", i, s.Name, name)
			a, err := netip.ParseAddr(text)
			if err != nil || !a.Is4() {
				return fmt.Errorf("%s: %q is no address of IPv4", at, text)
			}
			p, err := n.within(a)
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			gateway := n.GatewayIn(p)
			if !gateway.IsValid() {
				gateway = p.Addr().Next() // which docker takes
			}
			other, taken := owner[name+" "+a.String()]
			switch {
			case a == gateway:
				return fmt.Errorf("%s: %s is the gateway of the network; choose another one", at, a)
			case taken:
				return fmt.Errorf("%s: service %s has %s already", at, other, a)
			case s.Replica > 1:
				return fmt.Errorf("%s: %d instances cannot have one address; leave it out, or set replica: 1", at, s.Replica)
			}
			owner[name+" "+a.String()] = s.Name
		}
	}
	return nil
}
