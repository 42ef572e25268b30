package rules

import (
	"fmt"

	"github.com/baetyl/baetyl/protocol/app"
)

// Any names what is wrong in c, which has been validated, in any mode, and what a running application may have all the
// same. Each text begins with the path of the key. nil: nothing.
func Any(c *app.Config) (broken []string) {
	for i, s := range c.Services {
		for _, text := range rights(s, c) {
			broken = append(broken, fmt.Sprintf("services[%d] (%s).%s", i, s.Name, text))
		}
	}
	return broken
}

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
