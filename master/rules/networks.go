package rules

import (
	"fmt"
	"maps"
	"net"
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

// addresses: a fixed address is for one instance, and for a network whose subnet is written down.
func addresses(s app.Service, c *app.Config) (out []string) {
	for _, n := range s.Networks.Names() {
		text := s.Networks[n].IPv4Address
		if text == "" {
			continue
		}
		at := fmt.Sprintf("networks.%s.ipv4_address: ", n)
		ip := net.ParseIP(text).To4()
		if ip == nil {
			out = append(out, at+fmt.Sprintf("%q is no address; write one such as 172.28.0.5", text))
			continue
		}
		if s.Replica > 1 {
			const problem = "%s is one address for %d instances; leave it out, or write replica: 1"
			out = append(out, at+fmt.Sprintf(problem, text, s.Replica))
		}
		out = append(out, outside(at, ip, c.Networks[n])...)
	}
	return out
}

// outside says why ip is no address of the network.
func outside(at string, ip net.IP, n app.Network) []string {
	if n.Subnet == "" {
		return []string{at + "docker takes it only in a network with a subnet; write the subnet of the network"}
	}
	_, subnet, err := net.ParseCIDR(n.Subnet)
	switch {
	case err != nil: // app.Validate has refused it
		return nil
	case !subnet.Contains(ip):
		return []string{at + fmt.Sprintf("%s is not in the subnet %s of the network; write one that is", ip, subnet)}
	case ip.Equal(net.ParseIP(n.Gateway)):
		return []string{at + fmt.Sprintf("%s is the gateway of the network; write another one", ip)}
	}
	return nil
}

// fixedAddresses finds those that two services have.
func fixedAddresses(c *app.Config) (out []string) {
	held := map[string]string{} // network and address → who has it
	for i, s := range c.Services {
		for _, n := range s.Networks.Names() {
			ip := net.ParseIP(s.Networks[n].IPv4Address)
			if ip == nil {
				continue
			}
			key, at := n+" "+ip.String(), fmt.Sprintf("services[%d] (%s).networks.%s.ipv4_address", i, s.Name, n)
			if other, ok := held[key]; ok {
				out = append(out, fmt.Sprintf("%s: %s is taken by %s; write another one", at, ip, other))
				continue
			}
			held[key] = at
		}
	}
	return out
}
