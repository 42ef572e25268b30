package app

// composeNetwork has the keys of compose, of those that a Network has.
type composeNetwork struct {
	Driver     string            `yaml:"driver" json:"driver" default:"bridge"`
	DriverOpts map[string]string `yaml:"driver_opts" json:"driver_opts"`
	Labels     map[string]string `yaml:"labels" json:"labels"`
	IPAM       composeIPAM       `yaml:"ipam" json:"ipam"`
	Internal   bool              `yaml:"internal" json:"internal"`
	EnableIPv6 bool              `yaml:"enable_ipv6" json:"enable_ipv6"`
}

type composeIPAM struct {
	Driver string          `yaml:"driver" json:"driver" validate:"oneof=default"`
	Config []composeSubnet `yaml:"config" json:"config"`
}

type composeSubnet struct {
	Subnet  string `yaml:"subnet" json:"subnet"`
	Gateway string `yaml:"gateway" json:"gateway"`
}

func (n composeNetwork) convert() Network {
	out := Network{
		Driver: n.Driver, DriverOpts: n.DriverOpts, Labels: n.Labels, Internal: n.Internal, IPv6: n.EnableIPv6,
	}
	for _, c := range n.IPAM.Config {
		if c.Subnet != "" {
			out.Subnet = append(out.Subnet, c.Subnet)
		}
		if c.Gateway != "" {
			out.Gateway = append(out.Gateway, c.Gateway)
		}
	}
	return out
}
