package service

import (
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// environ merges the variables of an instance: the service's `env`, those in the request of a dynamic start, and those
// of the system. Later ones win. Each system variable is set under its older names too.
func environ(service, dynamic, system map[string]string) map[string]string {
	out := map[string]string{}
	for _, vars := range []map[string]string{service, dynamic} {
		for k, v := range vars {
			if !isToken(k) { // the token comes from the system or not at all
				out[k] = v
			}
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
	if name == masterapi.EnvServiceToken {
		return true
	}
	for _, old := range masterapi.Legacy[masterapi.EnvServiceToken] {
		if name == old {
			return true
		}
	}
	return false
}

// checkDynamic refuses names and values that cannot be environment variables.
func checkDynamic(vars map[string]string) error {
	for k, v := range vars {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return fmt.Errorf("%w: %q is not a name and value of an environment variable", ErrInvalid, k)
		}
	}
	return nil
}
