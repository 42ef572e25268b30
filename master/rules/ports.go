package rules

import (
	"fmt"
	"net"

	"github.com/baetyl/baetyl/protocol/app"
)

// taken is a port of the host that a container has.
type taken struct {
	app.Port
	at string // its key
}

// ports finds those that two containers want: of one service with more than one instance, of two services, or of the
// same one. A service without instances is started by others, who know how many they start and when.
func ports(c *app.Config) (out []string) {
	held := map[string][]taken{} // by protocol and port
	for i, s := range c.Services {
		if s.Replica == 0 || s.NetworkMode == "host" || s.NetworkMode == "none" {
			continue
		}
		for j, text := range s.Ports {
			all, err := app.ParsePorts(text)
			if err != nil {
				continue // app.Validate has refused it
			}
			at := fmt.Sprintf("services[%d] (%s).ports[%d]", i, s.Name, j)
			if problem := tooFew(all[0], s.Replica); problem != "" {
				out = append(out, fmt.Sprintf("%s: %q is %s", at, text, problem))
			}
			for _, p := range all {
				if p.Host == 0 || p.HostEnd > 0 {
					continue
				}
				key := fmt.Sprintf("%d/%s", p.Host, p.Protocol)
				if other, ok := meets(held[key], p); ok {
					const text = "%s: port %s of the host is taken by %s; write another one, or another address"
					out = append(out, fmt.Sprintf(text, at, key, other.at))
					break // one line for a range
				}
				held[key] = append(held[key], taken{p, at})
			}
		}
	}
	return out
}

// tooFew says how a port of the host is not enough for the instances of a service.
func tooFew(p app.Port, replica int) string {
	switch {
	case p.Host == 0 || replica < 2:
		return ""
	case p.HostEnd == 0:
		const text = "one port of the host for %d instances; leave the host's port out, write a range, or replica: 1"
		return fmt.Sprintf(text, replica)
	case p.HostEnd-p.Host+1 < replica:
		return fmt.Sprintf("%d ports of the host for %d instances; write a longer range", p.HostEnd-p.Host+1, replica)
	}
	return ""
}

// meets returns the one of held whose address is that of p, too.
func meets(held []taken, p app.Port) (taken, bool) {
	for _, h := range held {
		if covers(h.IP, p.IP) || covers(p.IP, h.IP) {
			return h, true
		}
	}
	return taken{}, false
}

// covers tells whether address a of the host is b, or has b in it: 0.0.0.0 has all of IPv4, :: those of IPv6, and none
// has both.
func covers(a, b string) bool {
	x, y := net.ParseIP(a), net.ParseIP(b)
	if a == "" || x.Equal(y) {
		return true
	}
	return y != nil && x.IsUnspecified() && (x.To4() != nil) == (y.To4() != nil)
}
