package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/baetyl/baetyl/protocol/app"
)

// own are docker's own networks: none of them can be made, and none has names and aliases.
var own = []string{"bridge", "host", "none", "default"}

// networks finds those that docker does not make.
func networks(c *app.Config) (out []string) {
	for _, n := range slices.Sorted(maps.Keys(c.Networks)) {
		if slices.Contains(own, n) {
			out = append(out, fmt.Sprintf("networks.%s: is docker's own, which has no names of services; write another name, "+
				"or network_mode: %s", n, n))
		}
		if d := c.Networks[n].Driver; d == "host" || d == "null" {
			const text = "networks.%s.driver: docker makes no second network %s; write network_mode of the service"
			out = append(out, fmt.Sprintf(text, n, d))
		}
	}
	return out
}

// volumes finds those whose name docker refuses.
func volumes(c *app.Config) (out []string) {
	for i, v := range c.Volumes {
		if v.Managed() && !objectName.MatchString(v.Name) {
			out = append(out, fmt.Sprintf("volumes[%d].name: docker refuses %q as the name of a volume; "+
				"write two characters or more", i, v.Name))
		}
	}
	return out
}

// addresses: a fixed one needs a network whose subnet is written down; app.Validate has checked it against that.
func addresses(s app.Service, c *app.Config) (out []string) {
	for _, n := range s.Networks.Names() {
		if s.Networks[n].IPv4Address != "" && len(c.Networks[n].Subnet) == 0 {
			const text = "networks.%s.ipv4_address: docker takes it only in a network with a subnet; write networks.%s.subnet"
			out = append(out, fmt.Sprintf(text, n, n))
		}
	}
	return out
}
