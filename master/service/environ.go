package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// environ merges the variables of an instance: the service's `env`, those in the request of a dynamic start, and those
// of the system. Later ones win. Each system variable is set under its older names too.
func environ(service, dynamic, system map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range service {
		if !isToken(k) { // the token comes from the system or not at all
			out[k] = v
		}
	}
	for k, v := range dynamic {
		if !masterapi.IsSystem(k) {
			out[k] = v
		}
	}
	for k, v := range system {
		out[k] = v
	}
	for name, old := range masterapi.Legacy {
		if v, ok := out[name]; ok {
			for _, o := range old {
				out[o] = v
			}
		}
	}
	return out
}

func isToken(name string) bool {
	return name == masterapi.EnvServiceToken || slices.Contains(masterapi.Legacy[masterapi.EnvServiceToken], name)
}

// checkDynamic refuses names and values that cannot be environment variables, and names that s does not accept: a
// variable such as LD_PRELOAD would run the caller's code as the service.
func checkDynamic(s app.Service, vars map[string]string) error {
	var refused []string
	for k, v := range vars {
		if k == "" || strings.Contains(k, "=") || strings.ContainsFunc(k, unicode.IsControl) || strings.Contains(v, "\x00") {
			return fmt.Errorf("%w: %s is not a name and value of an environment variable", ErrInvalid, quoted(k))
		}
		if !s.Accepts(k) {
			refused = append(refused, k)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	const most = 10
	slices.Sort(refused)
	shown := refused[:min(len(refused), most)]
	line := s.AcceptLine(shown...)
	if line == "" {
		names := make([]string, 0, len(shown))
		for _, name := range shown {
			names = append(names, quoted(name))
		}
		return fmt.Errorf("%w: service (%s) accepts no variable %s in a request; rename it, for example to BAETYL_…",
			ErrForbidden, s.Name, strings.Join(names, ", "))
	}
	return fmt.Errorf("%w: service (%s) accepts no variable %s in a request: write %s at service %s in application.yml",
		ErrForbidden, s.Name, strings.Join(shown, ", "), line, s.Name)
}

// quoted is the beginning of a text that a caller has sent, for a message.
func quoted(text string) string {
	const most = 60
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}
