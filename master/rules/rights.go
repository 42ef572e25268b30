package rules

import (
	"fmt"

	"github.com/baetyl/baetyl/protocol/app"
)

// rights finds those for services that are not there.
func rights(s app.Service, c *app.Config) (out []string) {
	for i, r := range s.API {
		for j, name := range r.Of {
			if _, err := c.Service(name); err != nil {
				out = append(out, fmt.Sprintf("api[%d].%s[%d]: there is no service %q; add it to services, or leave it out", i,
					r.Name, j, name))
			}
		}
	}
	return out
}
