package masterapi

import (
	nethttp "net/http"
	"net/url"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// Version is the version of the API, the first segment of every path.
const Version = "v1"

// Route is one call of the API. What goes in and comes out of each: docs/api/master.yaml.
type Route struct {
	Name   string // operationId in docs/api/master.yaml
	Does   string // for people, after "may not": inspect the system
	Method string
	Path   string // with {service} and {instance} where a route names an instance
	Right  string // of the caller's service, without which the answer is 403 (protocol/app)
	Own    bool   // {service} has to be the caller's own service, or else the answer is 403
	Admin  bool   // for persons alone, at AdminSocket; a service gets 403

	// Changes: each call has a line in the log that says who made it. A report changes no more than what inspect shows of
	// the caller itself
	Changes bool
}

// The routes, each written down once: the master serves this table, and clients call its paths.
var (
	RouteInspect = Route{
		Name: "inspectSystem", Does: "inspect the system",
		Method: nethttp.MethodGet, Path: PathInspect, Right: app.RightInspect,
	}
	RouteUpdate = Route{
		Name: "updateSystem", Does: "update the system",
		Method: nethttp.MethodPut, Path: PathUpdate, Right: app.RightUpdate, Changes: true,
	}
	RoutePorts = Route{
		Name: "getAvailablePort", Does: "ask for a port",
		Method: nethttp.MethodGet, Path: PathPortAvailable, Right: app.RightPorts,
	}
	RouteStart = Route{
		Name: "startInstance", Does: "start instances",
		Method: nethttp.MethodPut, Path: pathInstance + ActionStart, Right: app.RightStart, Changes: true,
	}
	RouteStop = Route{
		Name: "stopInstance", Does: "stop instances",
		Method: nethttp.MethodPut, Path: pathInstance + ActionStop, Right: app.RightStop, Changes: true,
	}
	RouteReport = Route{
		Name: "reportInstance", Does: "report",
		Method: nethttp.MethodPut, Path: pathInstance + ActionReport, Right: app.RightReport, Own: true,
	}
	RouteRestart = Route{
		Name: "restartMaster", Does: "restart the master",
		Method: nethttp.MethodPost, Path: PathRestart, Admin: true, Changes: true,
	}
	RouteReload = Route{
		Name: "reloadConfiguration", Does: "reload the configuration",
		Method: nethttp.MethodPost, Path: PathReload, Admin: true, Changes: true,
	}
	RoutePrune = Route{
		Name: "pruneSystem", Does: "remove what nobody uses",
		Method: nethttp.MethodPost, Path: PathPrune, Right: app.RightUpdate, Changes: true,
	}

	Routes = []Route{
		RouteInspect, RouteUpdate, RoutePorts, RouteStart, RouteStop, RouteReport, RouteRestart, RouteReload, RoutePrune,
	}
)

// Paths that name no instance, ready to be called.
const (
	PathInspect       = "/" + Version + "/system/inspect"
	PathUpdate        = "/" + Version + "/system/update"
	PathPortAvailable = "/" + Version + "/ports/available"
	PathRestart       = "/" + Version + "/system/restart"
	PathReload        = "/" + Version + "/system/reload"
	PathPrune         = "/" + Version + "/system/prune"
)

// Actions on an instance, the last segment of their paths.
const (
	ActionStart  = "start"
	ActionStop   = "stop"
	ActionReport = "report"
)

const pathInstance = "/" + Version + "/services/{service}/instances/{instance}/"

// Pattern is the route as net/http.ServeMux takes it.
func (r Route) Pattern() string { return r.Method + " " + r.Path }

// PathInstance returns the path of an action (ActionStart, …) on an instance. Names are escaped.
func PathInstance(service, instance, action string) string {
	names := strings.NewReplacer("{service}", url.PathEscape(service), "{instance}", url.PathEscape(instance))
	return names.Replace(pathInstance) + action
}
