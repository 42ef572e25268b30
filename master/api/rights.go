package api

import (
	nethttp "net/http"
	"slices"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// allow tells why caller, who has rights, may not use route on the service target, which is empty where no service is
// named.
func allow(caller string, rights []string, route masterapi.Route, target string) error {
	if !slices.Contains(rights, route.Right) {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s: add %q to api: of service %s in application.yml", caller, route.Does, route.Right, caller)
	}
	if route.Own && caller != target {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s for service (%s): only for itself", caller, route.Does, target)
	}
	return nil
}
