package rules

import (
	"fmt"
	"slices"

	"github.com/baetyl/baetyl/protocol/app"
)

// capabilities finds those that are given and taken at once. ALL on one side and names on the other is how a container
// keeps few, or all but few.
func capabilities(s app.Service, _ *app.Config) (out []string) {
	dropped := make([]string, 0, len(s.CapDrop))
	for _, d := range s.CapDrop {
		name, _ := app.ParseCapability(d) // app.Validate has refused what is none
		dropped = append(dropped, name)
	}
	for i, a := range s.CapAdd {
		name, _ := app.ParseCapability(a)
		if j := slices.Index(dropped, name); j >= 0 {
			out = append(out, fmt.Sprintf("cap_add[%d]: %s stands in cap_drop[%d] too; leave one of them out", i, a, j))
		}
		if name == app.AllCapabilities && s.Hardened != nil && *s.Hardened {
			out = append(out, fmt.Sprintf("cap_add[%d]: %s, and hardened: true, which drops all that are not named; "+
				"name those that are needed, or leave one of them out", i, a))
		}
	}
	return out
}

// silent finds what a container without a network has no use for.
func silent(s app.Service, _ *app.Config) []string {
	if s.NetworkMode != "none" || len(s.DNS) == 0 {
		return nil
	}
	return []string{"dns: has no effect with network_mode: none, the container has no network; leave one of them out"}
}
