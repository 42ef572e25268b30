package api

import (
	nethttp "net/http"
	"slices"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
)

// allow tells why caller, who has rights, may not use right on the service target, which is empty where no service is named.
func allow(caller string, rights []string, right, target string) error {
	if !slices.Contains(rights, right) {
		return http.Errorf(nethttp.StatusForbidden, "forbidden",
			"service (%s) may not %s: add %q to api: of service %s in application.yml", caller, verbs[right], right, caller)
	}
	if right == app.RightReport && caller != target {
		return http.Errorf(nethttp.StatusForbidden, "forbidden", "service (%s) may not report for service (%s): each reports for itself", caller, target)
	}
	return nil
}

var verbs = map[string]string{
	app.RightInspect: "inspect the system",
	app.RightUpdate:  "update the system",
	app.RightPorts:   "ask for a port",
	app.RightStart:   "start instances",
	app.RightStop:    "stop instances",
	app.RightReport:  "report",
}
